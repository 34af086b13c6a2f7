"""Chunks of annotation files -> drafts and rejects, one after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

import orjson

from datasets_prep.draft import ODD, Draft, Media, Reason, RejectError
from datasets_prep.passes.chunks import ReadUnit, readable
from datasets_prep.sources import Record, reader_of
from datasets_prep.sources.bases.reader import ReadsDialogues
from datasets_prep.sources.json.json_file import Chunk
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig

_DETAIL = 400  # characters of a reject's detail
_T = TypeVar("_T")


@dataclass(slots=True)
class Read:
    """What became of a record, or of a part of it: a draft, or why there is none.

    ``record`` counts within the file. ``left_out``: the plan does not want it (``keep_types``, or a part of
    the set that only the reader can tell).
    """

    record: int
    part: int
    key: str
    draft: Draft | None = None
    error: RejectError | None = None
    left_out: bool = False


def read_chunk(unit: ReadUnit, chunk: Chunk, seed: int) -> Iterator[Read]:
    """Every record of a chunk, in order; none is lost."""
    return read_records(unit, enumerate(records_of(unit, chunk), chunk.first), seed)


def read_records(unit: ReadUnit, records: Iterable[tuple[int, Record]], seed: int) -> Iterator[Read]:
    """The same of some records, each with its number in the file."""
    reader, source = reader_of(unit.source.format), unit.source
    seen: set[str] = set()  # no two records of a file share a key; parts of one could
    for number, record in records:
        if record.left_out:
            yield Read(number, 0, record.key, left_out=True)
            continue
        try:
            drafts = reader.convert(record, source, seed)
        except RejectError as error:
            yield Read(number, 0, record.key, error=error)
            continue
        except ODD as error:
            # A shape of record that the reader did not foresee: its fault or the file's, never a lost record.
            problem = RejectError(Reason.MALFORMED, f"{type(error).__name__}: {error}")
            yield Read(number, 0, record.key, error=problem)
            continue
        for part, draft in enumerate(drafts):
            if source.keep_types and draft.type not in source.keep_types:
                yield Read(number, part, draft.key, left_out=True)
            elif len(drafts) > 1 and draft.key in seen:
                again = RejectError(Reason.DUPLICATE_KEY, f"{draft.key} came before")
                yield Read(number, part, draft.key, error=again)
            else:
                yield Read(number, part, draft.key, draft)
            if len(drafts) > 1:
                seen.add(draft.key)


def media_of_chunks(unit: ReadUnit, chunks: Iterable[Chunk], seed: int) -> Iterator[Media]:
    """The media that the drafts of some chunks will name, with repeats; faster than reading the drafts."""
    reader, source = reader_of(unit.source.format), unit.source
    for record in _naming_media(unit, chunks):
        if record.left_out:
            continue
        try:
            yield from reader.media(record, source, seed)
        except ODD:  # as a reject, it is counted where drafts are made
            continue


def _naming_media(unit: ReadUnit, chunks: Iterable[Chunk]) -> Iterator[Record]:
    """Records that name all media of some chunks; of the large lists without keys, and without repeats."""
    reader = reader_of(unit.source.format)
    if not isinstance(reader, ReadsDialogues):
        for chunk in chunks:
            yield from records_of(unit, chunk)
        return
    known: set[Hashable] = set()
    with readable(unit):
        for chunk in chunks:
            for raw in _counted(unit, chunk, reader.rows(unit.files(), chunk)):
                named = reader.names_media(raw)
                if named is None:
                    yield Record("", raw)
                elif named not in known:
                    known.add(named)
                    yield Record("", raw)


def records_of(unit: ReadUnit, chunk: Chunk) -> Iterator[Record]:
    """As many records as were counted when the file was cut, or a UserError: none goes without a word."""
    reader = reader_of(unit.source.format)
    with readable(unit):
        yield from _counted(unit, chunk, reader.records(unit.source, unit.files(), chunk))


def _counted(unit: ReadUnit, chunk: Chunk, items: Iterable[_T]) -> Iterator[_T]:
    count = 0
    for item in items:
        count += 1
        yield item
    if count != chunk.count:
        raise UserError(
            unit.annotations.uri,
            f"has {count} records from number {chunk.first} on where {chunk.count} were counted before.",
            "It was changed in the meantime: run again when nobody writes to it.",
        )


class NamedMedia(NamedTuple):
    """A medium as workers tell each other of it: 16 bytes that name it, and what finding it takes as JSON."""

    id: bytes
    text: str


def name_media(media: Media, source: SourceConfig) -> NamedMedia:
    """The name of a medium of a source."""
    rate = source.folder_fps or media.folder_fps  # what the plan says of its folders goes before the format
    return _named(media, source.media, rate)


@lru_cache(maxsize=1 << 15)  # several questions are asked about a video, in the same chunk and in others
def _named(media: Media, roots: tuple[str, ...], rate: float) -> NamedMedia:
    what = [roots, media.candidates, media.frames, rate]
    try:
        text = orjson.dumps(what).decode()
    except orjson.JSONEncodeError:  # a name that is not UTF-8
        text = json.dumps(what)
    return NamedMedia(hashlib.sha256(text.encode()).digest()[:16], text)


def plain_detail(error: RejectError) -> str:
    """The detail of a reject, cut, and in characters that Arrow can hold: file names need not be UTF-8."""
    return error.detail[:_DETAIL].encode("utf-8", "replace").decode("utf-8")
