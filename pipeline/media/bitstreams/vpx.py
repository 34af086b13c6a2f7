"""VP8 (RFC 6386, 9.1) and VP9 (bitstream specification, 6.2 and annex B): hidden frames, key frames."""

from __future__ import annotations

from pipeline.media.bitstreams.picture import Picture


class Vp8Pictures:
    """A packet is a frame; hidden ones, from which others are made, have packets of their own."""

    def read(self, packet: bytes) -> Picture | None:
        """The picture of a packet, None for what is not one."""
        if len(packet) < 3:
            return None
        shown, entry = bool(packet[0] & 0x10), not packet[0] & 1
        if entry and packet[3:6] != b"\x9d\x01\x2a":
            return None
        return Picture(shown, entry and shown, False)


class Vp9Pictures:
    """A packet is a frame, or several in a row of which one is shown."""

    def read(self, packet: bytes) -> Picture | None:
        """The shown picture of a packet, or a hidden one; None for what is not certain."""
        frames = [_vp9_header(first) for first in _first_bytes(packet)]
        if not frames or None in frames:
            return None
        shown = sum(1 for frame in frames if frame is not None and frame[0])
        if shown > 1:
            return None
        entry = len(frames) == 1 and frames[0] == (True, True)
        return Picture(shown == 1, entry, False)


def _first_bytes(packet: bytes) -> list[int]:
    """The first byte of each frame in a packet, [] for an invalid packet."""
    if not packet:
        return []
    marker = packet[-1]
    if marker & 0xE0 != 0xC0:
        return [packet[0]]
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = 2 + count * width
    if len(packet) < index or packet[-index] != marker:
        return [packet[0]]
    at, found = 0, []
    for number in range(count):
        entry = len(packet) - index + 1 + number * width
        length = int.from_bytes(packet[entry : entry + width], "little")
        if not length or at + length > len(packet) - index:
            return []
        found.append(packet[at])
        at += length
    return found


def _vp9_header(first: int) -> tuple[bool, bool] | None:
    """(shown, a key frame) from the first byte of a frame."""
    if first >> 6 != 2:
        return None
    bits = first & 0xF
    if first & 0x30 == 0x30:  # profile 3 has a bit more
        bits = bits << 1
        if bits & 0x10:
            return None
    if bits & 8:  # an earlier frame is shown
        return True, False
    return bool(bits & 2), not bits & 4
