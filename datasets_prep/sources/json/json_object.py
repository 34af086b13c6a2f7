"""Finds members and elements of JSON objects in files of any size, without parsing the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from datasets_prep.sources.json.opening import (
    BOM,
    broken,
    first_byte,
    of_another_kind,
    open_annotations,
    unread,
)
from datasets_prep.sources.json.parse import Unparsed, parse
from pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_LONGEST_KEY = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member of a JSON object: its name and the byte positions of its value."""

    name: str
    start: int
    end: int


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
            raise of_another_kind(path, file, "a JSON object")
        for name in names:
            found = [m for m in members_at(file, start, path) if m.name == name]
            file.seek(found[-1].start if found else 0)
            if not found or file.read(1) != b"{":
                raise UserError(
                    str(path), f"has no object `{name}`.", "Check that the file is what the plan says."
                )
            start = found[-1].start
        yield from members_at(file, start, path)


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
        for ends in ends_of(file, found[-1].start, path, whole=False):
            for end in ends.tolist():
                if begin > first or not is_blank(file, begin, end):
                    yield begin, end
                begin = end + 1


def load_object(path: Path) -> dict[str, Any]:
    """The object in a file that is one JSON object, for formats with small files. Raises UserError."""
    with open_annotations(path) as file:
        text = file.read().removeprefix(BOM)
        if text.lstrip()[:1] != b"{":
            raise of_another_kind(path, file, "a JSON object")
    found = parse(text)
    if isinstance(found, Unparsed):
        raise unread(path, found)
    return found


def members_at(file: BinaryIO, start: int, path: Path) -> Iterator[Member]:
    """Members of the object whose opening brace is at ``start`` of an open file, that of ``path``."""
    begin = start + 1
    for ends in ends_of(file, start, path, whole=False):
        here = file.tell()
        for end in ends.tolist():
            file.seek(begin)
            head = file.read(min(end - begin, _LONGEST_KEY))
            found = _KEY.match(head)
            name = parse(found[1]) if found else ""
            if isinstance(name, Unparsed):
                raise unread(path, Unparsed(f"the name at byte {begin}: {name.problem}", valid=name.valid))
            if found:
                yield Member(name=name, start=begin + found.end(), end=end)
            elif head.strip():
                raise broken(path, ValueError(f"no name and value at byte {begin}"))
            begin = end + 1
        file.seek(here)


def ends_of(file: BinaryIO, start: int, path: Path, *, whole: bool) -> Iterator[np.ndarray]:
    """``scan.element_ends``, with a UserError for a container that is not whole."""
    from datasets_prep.sources.json.scan import ScanError, element_ends  # NumPy: to read, not to judge plans

    try:
        yield from element_ends(file, start, whole=whole)
    except ScanError as error:
        raise broken(path, error) from error


def is_blank(file: BinaryIO, start: int, end: int) -> bool:
    """Whether there is only white space between two positions, so that a container holds no element."""
    if end - start > 1 << 16:
        return False
    here = file.tell()
    file.seek(start)
    text = file.read(end - start)
    file.seek(here)
    return not text.strip()
