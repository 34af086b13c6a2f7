"""The bytes that a video file must have by its own structure, which shows whether it was cut off.

An interrupted download leaves a file that opens and plays, but not to its end. Formats: ISO/IEC 14496-12
(mp4, mov), https://www.matroska.org/technical/elements.html (mkv, webm), RIFF with OpenDML (avi). Streams of
packets without an outer structure (ts, flv) have no such number.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_BOXES = frozenset(b"ftyp moov mdat moof mfra styp sidx emsg meta wide free skip udta uuid pdin junk".split())
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def promised_bytes(path: Path) -> int:
    """The least size of the whole file; 0 if its format or its writer does not give it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[4:8] in _BOXES:
            return _boxes(file, size)
        if head[:4] == _EBML:
            return _segment(file)
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            return _riff(file, size)
    return 0


def _boxes(file: BinaryIO, size: int) -> int:
    """The end of the last box; what follows the last known box may be anything."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if head[4:8] not in _BOXES or length < 8:  # a length of 0 reaches to the end of the file
            return 0
        at += length
    return at


def _segment(file: BinaryIO) -> int:
    """The end of the segment, which is the file but for its header."""
    file.seek(4)
    header = _number(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return 0
    length = _number(file)
    return 0 if length is None else file.tell() + length


def _number(file: BinaryIO) -> int | None:
    """An EBML number: its first byte gives its length. None for "unknown"."""
    first = file.read(1)
    width = 9 - first[0].bit_length() if first else 9
    rest = file.read(width - 1) if width <= 8 else b""
    if width > 8 or len(rest) < width - 1:
        return None
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return None if value == (1 << 7 * width) - 1 else value


def _riff(file: BinaryIO, size: int) -> int:
    """The end of the last RIFF chunk; large files have several."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            return 0 if at == 0 else at
        at += 8 + length
    return at
