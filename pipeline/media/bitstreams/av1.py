"""AV1 (bitstream specification, 5.3 to 5.9): which frame of a temporal unit is shown, and key frames."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.media.bitstreams.picture import Picture

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6


class Av1Pictures:
    """A packet is a temporal unit, which shows one frame of each layer."""

    def __init__(self) -> None:
        self._sequence = b""

    def read(self, packet: bytes) -> Picture | None:
        """The picture of a packet, None where it is not certain to be one."""
        shown, frames, key, begins = 0, 0, False, False
        try:
            for kind, body in _units(packet):
                if kind == _SEQUENCE:
                    if body[0] & 8 or (self._sequence and body != self._sequence):
                        return None  # a still, or a stream that changes
                    self._sequence, begins = body, True
                elif kind in (_FRAME_HEADER, _FRAME):
                    head = body[0]
                    frames += 1
                    if head & 0x80:  # an earlier frame is shown
                        shown += 1
                    elif head & 0x10:
                        shown += 1
                        key = not head & 0x60
        except (IndexError, ValueError):
            return None
        if shown != 1:
            return None
        return Picture(True, key and begins and frames == 1, False)


def _units(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each open bitstream unit. Raises ValueError or IndexError for what is not one."""
    at = 0
    while at < len(packet):
        head = packet[at]
        at += 1
        if head & 0x80:
            raise ValueError("the forbidden bit is set")
        if head & 4:
            if packet[at] >> 3 & 3:
                raise ValueError("a unit of a further spatial layer")
            at += 1
        length = len(packet) - at
        if head & 2:
            length = shift = 0
            while True:
                byte = packet[at]
                at += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
        if at + length > len(packet):
            raise ValueError("a unit is longer than its packet")
        yield head >> 3 & 15, packet[at : at + length]
        at += length
