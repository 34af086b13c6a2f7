"""Bits of a header, first to last, with the Exp-Golomb numbers of ITU-T H.264 and H.265 (clause 9)."""

from __future__ import annotations


class Bits:
    """A bit reader over bytes. Raises EOFError past the last bit."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int = 1) -> int:
        """The next ``count`` bits as an unsigned number."""
        if count > self._left:
            raise EOFError("the header ends too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def unsigned(self) -> int:
        """ue(v)."""
        zeros = 0
        while not self.take():
            zeros += 1
            if zeros > 32:
                raise EOFError("a number is too long")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v)."""
        number = self.unsigned()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def payload(unit: bytes) -> bytes:
    """A NAL unit without its emulation prevention bytes (H.264 7.4.1)."""
    return unit.replace(b"\0\0\3", b"\0\0")
