"""Opens an annotation file, and says what is wrong with one that is not the JSON that was expected."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO, Final

from datasets_prep.sources.json.parse import Unparsed
from pipeline.errors import UserError

BOM: Final = b"\xef\xbb\xbf"
"""UTF-8's byte-order mark."""

SPACE: Final = b" \t\r\n"
"""JSON's white space."""

_KINDS = {  # by the first bytes
    (b"[",): "a JSON array",
    (b"{",): "a JSON object",
    (b'"',): "a JSON text",
    tuple(bytes([c]) for c in b"-0123456789"): "a JSON number",
}
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}


def open_annotations(path: Path) -> BinaryIO:
    """Open an annotation file. Raises UserError if it cannot be opened."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a named pipe would wait until something writes to it
            what = "a directory" if stat.S_ISDIR(mode) else "a named pipe or a device"
            raise UserError(str(path), f"is {what}, not a file.", "Correct its path in the plan.")
        return open(path, "rb")
    except OSError as error:
        raise UserError(
            str(path), f"cannot be opened ({error.strerror}).", "Correct `annotations` in the plan."
        ) from error


def first_byte(file: BinaryIO) -> tuple[bytes, int]:
    """The first byte after white space and a byte-order mark, and its position; b"" for an empty file."""
    file.seek(0)
    start = file.read(4096)
    rest = start.removeprefix(BOM).lstrip(SPACE)
    return rest[:1], len(start) - len(rest)


def of_another_kind(path: Path, file: BinaryIO, expected: str) -> UserError:
    """The error for a file of another kind."""
    file.seek(0)
    head = file.read(1 << 16)
    packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
    if packed:
        return UserError(str(path), f"is compressed ({packed}).", "Unpack it, and name the unpacked file.")
    if head.startswith(b"PAR1"):
        return UserError(str(path), f"is a Parquet file, where {expected} was expected.", "Write it as JSON.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return UserError(str(path), "is written in UTF-16.", "Write it in UTF-8, as JSON is.")
    text = head.removeprefix(BOM).strip()
    if not text:
        return UserError(str(path), "is empty.", "Check the download.")
    found = next((kind for starts, kind in _KINDS.items() if text[:1] in starts), None)
    if found is None:
        start = text[:20].decode("utf-8", "replace")
        return UserError(
            str(path),
            f"is not JSON (it begins with {start!r}); {expected} was expected.",
            "Check the download.",
        )
    return UserError(str(path), f"is {found}, where {expected} was expected.", "Check `format` in the plan.")


def unread(path: Path, value: Unparsed) -> UserError:
    """The error for an unreadable part without which the file cannot be used."""
    if not value.valid:
        return broken(path, ValueError(value.problem))
    return UserError(str(path), f"cannot be used: {value.problem}.", "Correct the file.")


def broken(path: Path, error: Exception) -> UserError:
    """The error for a file whose parts cannot be found, because it ends early or is not JSON."""
    problem = " ".join(str(error).split())[:200]
    return UserError(
        str(path), f"is not whole JSON ({problem}).", "Download it again; a part of it cannot be used."
    )
