"""Streams records out of JSON files of any size; a whole array is never in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import orjson

from pipeline.errors import UserError


class Unparsed:
    """A record that is no JSON: its place in the file is known, its content is not."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


def records(path: Path) -> Iterator[Any]:
    """Records of a JSON array or of a JSON-lines file (by content, not by name).

    A broken line of a JSON-lines file is yielded as ``Unparsed``. Raises UserError when the file is missing,
    is neither form, or an array breaks off: how many records follow the break cannot be known, so it cannot
    be counted as rejects.
    """
    with open_annotations(path) as file:
        first = _first_byte(file)
        if first == b"[":
            yield from items(file, "item", path)
        elif first == b"{":
            yield from _lines(file, path)
        else:
            raise UserError(str(path), "is neither a JSON array nor JSON lines.", "Check the download.")


def root_is_object(path: Path) -> bool:
    """Whether a file is one JSON object, not an array. (A JSON-lines file begins like one as well.)"""
    with open_annotations(path) as file:
        return _first_byte(file) == b"{"


def items(file: BinaryIO, prefix: str, path: Path) -> Iterator[Any]:
    """Values below ``prefix`` (in ijson's notation)."""
    try:
        yield from ijson.items(file, prefix, use_float=True)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise _broken(path, error) from error


def pairs(path: Path, prefix: str) -> Iterator[tuple[str, Any]]:
    """Keys and values of the object at ``prefix``; "" is the root. Raises UserError like ``records``."""
    with open_annotations(path) as file:
        try:
            yield from ijson.kvitems(file, prefix, use_float=True)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise _broken(path, error) from error


def open_annotations(path: Path) -> BinaryIO:
    """Open an annotation file. Raises UserError if that is not possible."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(
            str(path), f"cannot be opened ({error.strerror}).", "Correct `annotations` in the plan."
        ) from error


def _lines(file: BinaryIO, path: Path) -> Iterator[Any]:
    good = 0
    broken = 0
    for line in file:
        if not line.strip():
            continue
        try:
            yield orjson.loads(line)
            good += 1
        except orjson.JSONDecodeError as error:
            broken += 1
            if not good and broken > 20:
                raise _broken(path, error) from error
            yield Unparsed(str(error))
    if not good:
        raise UserError(str(path), "holds no record that is JSON.", "Check the download.")


def _first_byte(file: BinaryIO) -> bytes:
    start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    file.seek(0)
    return start[:1]


def _broken(path: Path, error: Exception) -> UserError:
    problem = " ".join(str(error).split())[:200]
    return UserError(
        str(path), f"is not whole JSON ({problem}).", "Download it again; a part of it cannot be used."
    )
