"""H.265 as in MP4 and Matroska (ISO/IEC 14496-15). Clauses are those of ITU-T H.265.

Pictures that follow a clean random access picture but are shown before it may refer to what came earlier.
A decoder that begins there skips them; what is shown after that picture is exact (8.1.3).
"""

from __future__ import annotations

from pipeline.media.bitstreams.bits import Bits, payload
from pipeline.media.bitstreams.picture import Picture

_RASL = frozenset({8, 9})
_IDR, _CRA = frozenset({19, 20}), 21
_IRAP = range(16, 24)
_SETS = frozenset({32, 33, 34})  # of the video, of sequences, of pictures
_PPS = 34
_HARMLESS = frozenset({35, 38, 39, 40})  # delimiter, filler, SEI
_SUBLAYER_NOT_REFERRED = frozenset(range(0, 16, 2))


class HevcPictures:
    """Made from the stream's extradata. Raises ValueError for extradata of another form."""

    def __init__(self, extradata: bytes) -> None:
        if len(extradata) < 23 or extradata[:3] in (b"\0\0\0", b"\0\0\1"):
            raise ValueError("no hvcC record")
        self._width = (extradata[21] & 3) + 1
        sets, at = [], 23
        for _ in range(extradata[22]):
            count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
            for _ in range(count):
                length = int.from_bytes(extradata[at : at + 2], "big")
                sets.append(extradata[at + 2 : at + 2 + length])
                at += 2 + length
        self._sets = frozenset(sets)
        pictures = [unit for unit in sets if len(unit) > 2 and unit[0] >> 1 & 63 == _PPS]
        if not pictures:
            raise ValueError("no parameter set of pictures")
        if any(_output_is_told(unit) for unit in pictures):
            raise ValueError("a slice may say that its picture is not shown")
        self._top = (extradata[21] >> 3 & 7) - 1  # the highest temporal layer, -1 if it is unknown
        self._first, self._open_start = True, False

    def read(self, packet: bytes) -> Picture | None:
        """The picture of a packet, None where it is not certain to be one."""
        at, size, width = 0, len(packet), self._width
        firsts, kind_of_picture, temporal_id = 0, -1, 0
        while at < size:
            start = at + width
            at = start + int.from_bytes(packet[at:start], "big")
            if start + 3 > size or at > size:
                return None
            kind = packet[start] >> 1 & 63
            if packet[start] & 0x81 or packet[start + 1] & 0xF8:  # of another layer
                return None
            if kind < 32:
                if packet[start + 2] & 0x80:
                    firsts, kind_of_picture = firsts + 1, kind
                    temporal_id = (packet[start + 1] & 7) - 1
                    if kind in _IRAP and packet[start + 2] & 0x40 and not self._first:
                        return None  # pictures decoded before are not to be shown
            elif kind in _SETS:
                if packet[start:at] not in self._sets:
                    return None
            elif kind not in _HARMLESS:
                return None
        return self._judge(kind_of_picture, temporal_id) if firsts == 1 else None

    def _judge(self, kind: int, temporal_id: int) -> Picture | None:
        entry = kind in _IDR or kind == _CRA
        if self._first:
            if not entry:
                return None
            self._first, self._open_start = False, kind == _CRA
        elif kind in _IRAP:
            if not entry:
                return None
            self._open_start = False
        elif kind in _RASL and self._open_start:
            return None  # refers to pictures before the beginning of the file
        # "Not referred to within its layer" means "not at all" in the highest layer only.
        disposable = kind in _SUBLAYER_NOT_REFERRED and temporal_id == self._top
        return Picture(True, entry, disposable, False)


def _output_is_told(unit: bytes) -> bool:
    """``output_flag_present_flag`` of a picture parameter set (7.3.2.3.1)."""
    bits = Bits(payload(unit[2:40]))
    try:
        bits.unsigned(), bits.unsigned()
        bits.take()
        return bool(bits.take())
    except EOFError as error:
        raise ValueError(str(error)) from error
