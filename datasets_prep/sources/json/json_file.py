"""Cuts JSON annotation files of any size into chunks, which are parsed one by one, in any order.

A list is a JSON array or JSON lines (recognised by content, not by name). The content of a chunk depends only
on the file and the limits, so shards can be made of chunks.
"""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from datasets_prep.sources.json.parse import Unparsed, may_repeat_names, parse
from datasets_prep.sources.json.scan import BOM, ScanError, element_ends, first_byte
from pipeline.errors import UserError

_HOPELESS = 20  # a file that begins with more lines than this that are not JSON is not a JSON-lines file
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_LONGEST_KEY = 1 << 16
_LIST = "a JSON array or JSON lines"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The largest size of a chunk. A single record is never cut."""

    records: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Consecutive records of one file: ``count`` of them from the ``first``, counted from 0.

    ``start`` and ``end`` are its byte positions in the file. ``detail`` is private to the reader that cut it.
    """

    first: int
    count: int
    start: int = 0
    end: int = 0
    detail: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member of a JSON object: its name and the byte positions of its value."""

    name: str
    start: int
    end: int


def list_chunks(path: Path, limits: Limits) -> Iterator[Chunk]:
    """Chunks of a JSON array or JSON-lines file, in order.

    Raises UserError if the file is missing, has neither form, or ends within an array: the number of missing
    records is unknown, so they cannot be counted as rejects.
    """
    with open_annotations(path) as file:
        byte, start = first_byte(file)
        if byte == b"[":
            yield from _array_chunks(file, start, limits, path)
        elif byte == b"{":
            yield from _line_chunks(file, start, limits, path)
        else:
            raise _of_another_kind(path, file, _LIST)


def list_records(path: Path, chunk: Chunk, *, check_names: bool = True) -> Iterator[Any]:
    """The records of a chunk; one that is not JSON, or has a name twice, is yielded as ``Unparsed``.

    With ``check_names`` false, names that occur twice may go unnoticed; the last one counts.
    """
    with open_annotations(path) as file:
        file.seek(chunk.start)
        text = file.read(chunk.end - chunk.start)
    if chunk.detail == b"lines":
        # Not ``splitlines``: a lone carriage return is white space, as when the chunk was cut.
        yield from map(parse, filter(bytes.strip, text.split(b"\n")))
        return
    try:
        found = orjson.loads(b"[" + text + b"]")
    except orjson.JSONDecodeError:
        found = []
    if len(found) == chunk.count and not (check_names and may_repeat_names(text, found)):
        yield from found
        return
    # Something is wrong with one of the records, so each is parsed alone.
    at = 0
    for ends in _ends(io.BytesIO(b"[" + text + b"]"), 0, path, whole=False):
        for end in ends.tolist():
            yield parse(text[at : end - 1])
            at = end


def root_is_object(path: Path) -> bool:
    """Whether a file begins with a JSON object, not an array. (A JSON-lines file does, too.)"""
    with open_annotations(path) as file:
        return first_byte(file)[0] == b"{"


def members(path: Path, *names: str) -> Iterator[Member]:
    """Members of the object at the path ``names``, in file order; without names those of the root.

    A name that occurs twice is yielded twice. Raises UserError for a file that is not a whole JSON object,
    and for a path at which there is no object.
    """
    with open_annotations(path) as file:
        byte, start = first_byte(file)
        if byte != b"{":
            raise _of_another_kind(path, file, "a JSON object")
        for name in names:
            found = [m for m in _members(file, start, path) if m.name == name]
            file.seek(found[-1].start if found else 0)
            if not found or file.read(1) != b"{":
                raise UserError(
                    str(path), f"has no object `{name}`.", "Check that the file is what the plan says."
                )
            start = found[-1].start
        yield from _members(file, start, path)


def elements(path: Path, name: str) -> Iterator[tuple[int, int]]:
    """Start and end of each element of the array ``name`` of the root object, in file order.

    Raises UserError for a file that is not a whole JSON object, and for a name that is not an array in it.
    """
    found = [m for m in members(path) if m.name == name]
    with open_annotations(path) as file:
        file.seek(found[-1].start if found else 0)
        if not found or file.read(1) != b"[":
            raise UserError(
                str(path), f"has no array `{name}`.", "Check that the file is what the plan says."
            )
        begin = first = found[-1].start + 1
        for ends in _ends(file, found[-1].start, path, whole=False):
            for end in ends.tolist():
                if begin > first or not _blank(file, begin, end):
                    yield begin, end
                begin = end + 1


def load_object(path: Path) -> dict[str, Any]:
    """The object in a file that is one JSON object, for formats with small files. Raises UserError."""
    with open_annotations(path) as file:
        text = file.read().removeprefix(BOM)
        if text.lstrip()[:1] != b"{":
            raise _of_another_kind(path, file, "a JSON object")
    found = parse(text)
    if isinstance(found, Unparsed):
        raise _unread(path, found)
    return found


def load_value(file: BinaryIO, start: int, end: int) -> Any:
    """The value at byte positions of an open file, ``Unparsed`` if it is not JSON."""
    file.seek(start)
    return parse(file.read(end - start))


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


def _array_chunks(file: BinaryIO, start: int, limits: Limits, path: Path) -> Iterator[Chunk]:
    first, begin = 0, start + 1  # of the chunk that is being filled
    waiting = np.empty(0, np.int64)
    blocks = _ends(file, start, path, whole=True)
    ended = False
    while True:
        while not ended and not _full(waiting, begin, limits):
            more = next(blocks, None)
            ended = more is None
            waiting = waiting if more is None else np.concatenate([waiting, more])
        if not len(waiting):
            return
        count = min(limits.records, max(1, int(np.searchsorted(waiting, begin + limits.bytes, "right"))))
        count = min(count, len(waiting))
        end = int(waiting[count - 1])
        waiting = waiting[count:]
        if not (first == 0 and count == 1 and not len(waiting) and _blank(file, begin, end)):
            yield Chunk(first=first, count=count, start=begin, end=end)
        first, begin = first + count, end + 1


def _full(waiting: np.ndarray, begin: int, limits: Limits) -> bool:
    return len(waiting) > limits.records or (len(waiting) > 1 and waiting[-1] > begin + limits.bytes)


def _blank(file: BinaryIO, start: int, end: int) -> bool:
    if end - start > 1 << 16:
        return False
    here = file.tell()
    file.seek(start)
    text = file.read(end - start)
    file.seek(here)
    return not text.strip()


def _line_chunks(file: BinaryIO, start: int, limits: Limits, path: Path) -> Iterator[Chunk]:
    file.seek(start)
    at = begin = start
    first = count = broken = seen = 0
    good = False
    for line in file:
        if count and (count == limits.records or at + len(line) - begin > limits.bytes):
            yield Chunk(first=first, count=count, start=begin, end=at, detail=b"lines")
            first, begin, count = first + count, at, 0
        at += len(line)
        if not line.strip():
            continue
        count += 1
        if not good:
            seen += 1
            problem = parse(line)
            good = not isinstance(problem, Unparsed) or problem.valid
            if not good and seen == 1:
                _refuse_one_object(file, start, at, path)
            broken += not good
            if broken > _HOPELESS:
                raise _unread(path, problem)
    if seen and not good:
        raise UserError(str(path), "holds no record that is JSON.", "Check the download.")
    if count:
        yield Chunk(first=first, count=count, start=begin, end=at, detail=b"lines")


def _members(file: BinaryIO, start: int, path: Path) -> Iterator[Member]:
    begin = start + 1
    for ends in _ends(file, start, path, whole=False):
        here = file.tell()
        for end in ends.tolist():
            file.seek(begin)
            head = file.read(min(end - begin, _LONGEST_KEY))
            found = _KEY.match(head)
            name = parse(found[1]) if found else ""
            if isinstance(name, Unparsed):
                raise _unread(path, Unparsed(f"the name at byte {begin}: {name.problem}", valid=name.valid))
            if found:
                yield Member(name=name, start=begin + found.end(), end=end)
            elif head.strip():
                raise _broken(path, ValueError(f"no name and value at byte {begin}"))
            begin = end + 1
        file.seek(here)


def _ends(file: BinaryIO, start: int, path: Path, *, whole: bool) -> Iterator[np.ndarray]:
    try:
        yield from element_ends(file, start, whole=whole)
    except ScanError as error:
        raise _broken(path, error) from error


def _refuse_one_object(file: BinaryIO, start: int, second_line: int, path: Path) -> None:
    """Raise UserError if the file is one JSON object over several lines, which is JSON but not a list."""
    here, end = file.tell(), 0
    try:
        for ends in element_ends(file, start, whole=True):
            end = int(ends[-1])
    except ScanError:
        end = 0
    if end < second_line:
        file.seek(here)
        return
    names = [f"`{member.name}`" for member in _members(file, start, path)]
    some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    raise UserError(
        str(path),
        f"is one JSON object (with {some or 'nothing in it'}), where {_LIST} was expected.",
        "Check `format` in the plan, or write the records as an array or one on a line.",
    )


def _of_another_kind(path: Path, file: BinaryIO, expected: str) -> UserError:
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


def _unread(path: Path, value: Unparsed) -> UserError:
    """The error for an unreadable part without which the file cannot be used."""
    if not value.valid:
        return _broken(path, ValueError(value.problem))
    return UserError(str(path), f"cannot be used: {value.problem}.", "Correct the file.")


def _broken(path: Path, error: Exception) -> UserError:
    problem = " ".join(str(error).split())[:200]
    return UserError(
        str(path), f"is not whole JSON ({problem}).", "Download it again; a part of it cannot be used."
    )
