"""Reads chunks of annotation files into drafts and rejects, in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

import orjson

from datasets_prep.draft import RECORD_ERRORS, Draft, Media, Reason, RejectError
from datasets_prep.passes.chunks import ReadUnit, readable
from datasets_prep.sources import Record, reader_of
from datasets_prep.sources.bases.reader import ReadsDialogues
from datasets_prep.sources.json.json_file import Chunk
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig

_DETAIL = 400  # characters of a reject's detail
_T = TypeVar("_T")


@dataclass(slots=True)
class ReadItem:
    """The result of reading a record or a part of it: a draft, or why there is none.

    ``record`` is its number in the file. ``left_out``: the plan does not select it (by ``keep_types``,
    ``select.videos`` or an option of the reader).
    """

    record: int
    part: int
    key: str
    draft: Draft | None = None
    error: RejectError | None = None
    left_out: bool = False


def read_chunk(unit: ReadUnit, chunk: Chunk, seed: int) -> Iterator[ReadItem]:
    """Every record of a chunk, in order, without exception."""
    return read_records(unit, enumerate(records_of(unit, chunk), chunk.first), seed)


def read_records(unit: ReadUnit, records: Iterable[tuple[int, Record]], seed: int) -> Iterator[ReadItem]:
    """The same for some records, each with its number in the file."""
    reader, source = reader_of(unit.source.format), unit.source
    seen: set[str] = set()  # no two records of a file share a key; parts of one could
    for number, record in records:
        if record.left_out:
            yield ReadItem(number, 0, record.key, left_out=True)
            continue
        try:
            drafts = reader.convert(record, source, seed)
        except RejectError as error:
            yield ReadItem(number, 0, record.key, error=error)
            continue
        except RECORD_ERRORS as error:
            # A form of record that the reader does not expect: the record is rejected, never lost.
            problem = RejectError(Reason.MALFORMED, f"{type(error).__name__}: {error}")
            yield ReadItem(number, 0, record.key, error=problem)
            continue
        for part, draft in enumerate(drafts):
            if not _selected(draft, source, seed):
                yield ReadItem(number, part, draft.key, left_out=True)
            elif len(drafts) > 1 and draft.key in seen:
                again = RejectError(Reason.DUPLICATE_KEY, f"{draft.key} came before")
                yield ReadItem(number, part, draft.key, error=again)
            else:
                yield ReadItem(number, part, draft.key, draft)
            if len(drafts) > 1:
                seen.add(draft.key)


def _selected(draft: Draft, source: SourceConfig, seed: int) -> bool:
    typed = not source.keep_types or draft.type in source.keep_types
    return typed and source.select.takes_video(draft.media.candidates[0], seed)


def media_of_chunks(unit: ReadUnit, chunks: Iterable[Chunk], seed: int) -> Iterator[NamedMedia]:
    """The media of the drafts of some chunks, with repeats; faster than making the drafts."""
    reader, source = reader_of(unit.source.format), unit.source
    for record in _naming_media(unit, chunks):
        if record.left_out:
            continue
        try:
            media = tuple(reader.media(record, source, seed))
        except RECORD_ERRORS:  # the record is rejected and counted where drafts are made
            continue
        yield from (name_media(m, source) for m in media if source.select.takes_video(m.candidates[0], seed))


def _naming_media(unit: ReadUnit, chunks: Iterable[Chunk]) -> Iterator[Record]:
    """Records that name all media of some chunks; those of the large lists have no keys and no repeats."""
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
    """The records of a chunk. Raises UserError unless there are as many as when the file was cut."""
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
    """A medium as workers exchange it: an id of 16 bytes, and its roots, candidates and frames as JSON."""

    id: bytes
    text: str


def name_media(media: Media, source: SourceConfig) -> NamedMedia:
    """The name of a medium of a source."""
    rate = source.folder_fps or media.folder_fps  # the plan's value overrides the format's
    return _named(media, source.media, rate)


@lru_cache(maxsize=1 << 15)  # several records name the same video, in the same chunk and in others
def _named(media: Media, roots: tuple[str, ...], rate: float) -> NamedMedia:
    fields = [roots, media.candidates, media.frames, rate]
    try:
        text = orjson.dumps(fields).decode()
    except orjson.JSONEncodeError:  # a name that is not UTF-8
        text = json.dumps(fields)
    return NamedMedia(hashlib.sha256(text.encode()).digest()[:16], text)


def plain_detail(error: RejectError) -> str:
    """The detail of a reject, shortened and valid in UTF-8 for Arrow: file names need not be UTF-8."""
    return error.detail[:_DETAIL].encode("utf-8", "replace").decode("utf-8")
