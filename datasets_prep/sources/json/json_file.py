"""Cuts JSON annotation files of any size into chunks, which are parsed one by one, in any order.

A list is a JSON array or JSON lines (recognised by content, not by name). The content of a chunk depends only
on the file and the limits, so shards can be made of chunks.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from datasets_prep.sources.json.json_object import ends_of, is_blank, members_at
from datasets_prep.sources.json.opening import first_byte, of_another_kind, open_annotations, unread
from datasets_prep.sources.json.parse import Unparsed, may_repeat_names, parse
from pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_HOPELESS = 20  # a file that begins with more lines than this that are not JSON is not a JSON-lines file
_LIST = "a JSON array or JSON lines"


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
            raise of_another_kind(path, file, _LIST)


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
    for ends in ends_of(io.BytesIO(b"[" + text + b"]"), 0, path, whole=False):
        for end in ends.tolist():
            yield parse(text[at : end - 1])
            at = end


def _array_chunks(file: BinaryIO, start: int, limits: Limits, path: Path) -> Iterator[Chunk]:
    import numpy as np

    first, begin = 0, start + 1  # of the chunk that is being filled
    waiting = np.empty(0, np.int64)  # the ends of elements that no chunk holds yet
    blocks = ends_of(file, start, path, whole=True)
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
        if not (first == 0 and count == 1 and not len(waiting) and is_blank(file, begin, end)):
            yield Chunk(first=first, count=count, start=begin, end=end)
        first, begin = first + count, end + 1


def _full(waiting: np.ndarray, begin: int, limits: Limits) -> bool:
    return len(waiting) > limits.records or (len(waiting) > 1 and waiting[-1] > begin + limits.bytes)


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
                raise unread(path, problem)
    if seen and not good:
        raise UserError(str(path), "holds no record that is JSON.", "Check the download.")
    if count:
        yield Chunk(first=first, count=count, start=begin, end=at, detail=b"lines")


def _refuse_one_object(file: BinaryIO, start: int, second_line: int, path: Path) -> None:
    """Raise UserError if the file is one JSON object over several lines, which is JSON but not a list."""
    here, end = file.tell(), 0
    try:
        for ends in ends_of(file, start, path, whole=True):
            end = int(ends[-1])
    except UserError:
        end = 0
    if end < second_line:
        file.seek(here)
        return
    names = [f"`{member.name}`" for member in members_at(file, start, path)]
    some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    raise UserError(
        str(path),
        f"is one JSON object (with {some or 'nothing in it'}), where {_LIST} was expected.",
        "Check `format` in the plan, or write the records as an array or one on a line.",
    )
