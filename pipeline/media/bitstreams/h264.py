"""H.264 as in MP4 and Matroska: each unit follows its length (ISO/IEC 14496-15).

A packet counts as one picture if it holds exactly one first slice, and if the parameter sets say that there
are no fields and how many pictures a decoder has to hold back. Without that number FFmpeg learns it as it
decodes, and drops pictures that come too late. Clauses are those of ITU-T H.264.
"""

from __future__ import annotations

from pipeline.media.bitstreams.bits import Bits, payload
from pipeline.media.bitstreams.picture import Picture

_SLICE, _IDR, _SPS, _PPS = 1, 5, 7, 8
_HARMLESS = frozenset({6, 9, 12})  # SEI, access unit delimiter, filler
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_B_SLICE = 1
_B_MIXED, _B_ALL = 0xA0, 0x9C  # first macroblock 0, slice type 1 or 6, both as Exp-Golomb
_FIRST_OF_PICTURE = 0x80  # Exp-Golomb 0: the slice begins with macroblock 0


class H264Pictures:
    """Made from the stream's extradata. Raises ValueError for extradata of another form."""

    def __init__(self, extradata: bytes) -> None:
        if len(extradata) < 7 or extradata[0] != 1:
            raise ValueError("no avcC record")
        self._width = (extradata[4] & 3) + 1
        sets, at = [], 5
        for mask in (0x1F, 0xFF):  # parameter sets of the sequence, then of pictures
            count, at = extradata[at] & mask, at + 1
            for _ in range(count):
                length = int.from_bytes(extradata[at : at + 2], "big")
                sets.append(extradata[at + 2 : at + 2 + length])
                at += 2 + length
        self._sets = frozenset(sets)
        sequences = [unit for unit in sets if unit and unit[0] & 31 == _SPS]
        if not sequences:
            raise ValueError("no parameter set of the sequence")
        try:
            known = [_reorder_is_known(unit) for unit in sequences]
        except EOFError as error:
            raise ValueError(str(error)) from error
        self._reorder_known = all(known)

    def read(self, packet: bytes) -> Picture | None:
        """The picture of a packet, None where it is not certain to be one."""
        at, size, width = 0, len(packet), self._width
        firsts, entry, disposable, b_slice = 0, False, False, False
        while at < size:
            start = at + width
            at = start + int.from_bytes(packet[at:start], "big")
            if start + 2 > size or at > size:
                return None
            head = packet[start]
            kind = head & 31
            if kind in (_SLICE, _IDR):
                first = packet[start + 1]
                if first & _FIRST_OF_PICTURE:
                    firsts += 1
                    entry = kind == _IDR
                    disposable = not head & 0x60
                    b_slice = b_slice or first & 0xF0 == _B_MIXED or first & 0xFC == _B_ALL
                elif not self._reorder_known and not b_slice:
                    bits = Bits(packet[start + 1 : start + 12])
                    bits.unsigned()
                    b_slice = bits.unsigned() % 5 == _B_SLICE
            elif kind in (_SPS, _PPS):
                if packet[start:at] not in self._sets:
                    return None
            elif kind not in _HARMLESS:
                return None
        if firsts != 1 or (b_slice and not self._reorder_known):
            return None
        return Picture(True, entry, disposable, b_slice)


def _reorder_is_known(unit: bytes) -> bool:
    """Whether a sequence parameter set gives the number of pictures to hold back (7.3.2.1.1, E.1.1).

    Raises ValueError for pictures that may be coded as fields, EOFError for an incomplete set.
    """
    bits = Bits(payload(unit[1:]))
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    if profile in _HIGH:
        _skip_high_profile(bits)
    bits.unsigned()  # log2_max_frame_num
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take()
        bits.signed(), bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    bits.take()
    bits.unsigned(), bits.unsigned()  # width, height
    if not bits.take():
        raise ValueError("pictures may be coded as fields")
    bits.take()
    if bits.take():  # cropping
        for _ in range(4):
            bits.unsigned()
    return bool(bits.take()) and _restriction_in_vui(bits)


def _skip_high_profile(bits: Bits) -> None:
    chroma = bits.unsigned()
    if chroma == 3:
        bits.take()
    bits.unsigned(), bits.unsigned()  # bit depths
    bits.take()
    if not bits.take():
        return
    for number in range(12 if chroma == 3 else 8):  # scaling lists
        if bits.take():
            last = following = 8
            for _ in range(16 if number < 6 else 64):
                if following:
                    following = (last + bits.signed()) % 256
                last = following or last


def _restriction_in_vui(bits: Bits) -> bool:
    if bits.take() and bits.take(8) == 255:  # aspect ratio
        bits.take(32)
    if bits.take():  # overscan
        bits.take()
    if bits.take():  # signal type
        bits.take(4)
        if bits.take():
            bits.take(24)
    if bits.take():  # place of chroma samples
        bits.unsigned(), bits.unsigned()
    if bits.take():  # timing
        bits.take(65)
    models = 0
    for _ in range(2):  # of the decoder's buffer
        if bits.take():
            _skip_hrd(bits)
            models += 1
    if models:
        bits.take()
    bits.take()
    return bool(bits.take())


def _skip_hrd(bits: Bits) -> None:
    count = bits.unsigned() + 1
    bits.take(8)
    for _ in range(count):
        bits.unsigned(), bits.unsigned()
        bits.take()
    bits.take(20)
