"""The interface of readers: one per annotation format, without side effects.

A reader cuts a file into chunks and turns the records of any chunk into drafts. Chunks are read on any
machine, in any order, and more than once, so the results must depend on the arguments alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from datasets_prep.draft import Draft, Media
from datasets_prep.sources.bases.conversation import video_of
from datasets_prep.sources.bases.fields import mapping, media_of
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.row_lists import ENDINGS, list_chunks, list_records
from pipeline.plan.data import SourceConfig

WHOLE = Limits(records=1 << 60, bytes=1 << 60)


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """An annotation file and the files that belong to it, on the local disk.

    ``name`` distinguishes this file from others of its source: empty for the only one, else the relative
    path, without its suffix unless two files differ only in that. It is part of every key. ``masks`` is the
    file or folder of masks, for formats that keep them apart; ``keep_videos`` and ``drop_videos`` are the
    plan's lists of videos.
    """

    annotations: Path
    masks: Path | None = None
    name: str = ""
    keep_videos: Path | None = None
    drop_videos: Path | None = None


class Record(NamedTuple):
    """One raw record, the key of its sample, and the name of its file without the suffix.

    ``left_out``: the plan names another split or other videos. Such a record counts as not selected; its
    ``raw`` is None, and it must not be converted.
    """

    key: str
    raw: Any
    file: str = ""
    left_out: bool = False


class Dialogue(NamedTuple):
    """A record that consists of plain questions and answers, as most records of the large lists do.

    ``texts`` are stripped; none is empty, holds a placeholder, or is too long; user and assistant take turns.
    For a multiple choice, ``choices`` are the texts of the options and ``answer_index`` is the right one.
    """

    media: Media
    texts: list[str]
    category: str
    choices: tuple[str, ...] = ()
    answer_index: int = -1


class Reader(Protocol):
    """The reader of a format."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of the names of this format's files in a folder of annotations."""
        ...

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Cut a file. Raises UserError if the file as a whole cannot be read."""
        ...

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """The records of a chunk, ``chunk.count`` of them; of the whole file for None."""
        ...

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The media that the drafts of a record name. Raises RejectError if the record gives no draft."""
        ...

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Drafts of one record; several ones have keys ``<record key>/<part>``. Raises RejectError."""
        ...


@runtime_checkable
class ReadsDialogues(Protocol):
    """A format with millions of dialogues."""

    def dialogue(self, record: Record, source: SourceConfig) -> Dialogue | None:
        """The record as a dialogue if ``convert`` would surely make one draft with the same texts of it.

        A record for which this returns None is converted.
        """
        ...

    def rows(self, files: Files, chunk: Chunk) -> Iterator[Any]:
        """The raw rows of a chunk for the survey, without the check for names that occur twice."""
        ...

    def names_media(self, raw: Any) -> Hashable:
        """A value that determines a row's media: equal values mean equal media. None: ask ``media``."""
        ...


class ListReader:
    """Base of formats whose file is a list of rows; the key of a row is its index in the file."""

    suffixes: tuple[str, ...] = ENDINGS

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Chunks of consecutive rows."""
        return list_chunks(files.annotations, limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Rows in file order."""
        prefix, stem = record_key(source, files), files.annotations.stem
        parts = [chunk] if chunk else self.chunks(source, files, WHOLE)
        for part in parts:
            for index, raw in enumerate(list_records(files.annotations, part), part.first):
                yield Record(f"{prefix}/{index}", raw, stem)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The row's ``video``, without converting the rest of the row."""
        return (media_of(video_of(mapping(record.raw))),)


class RowsReader(ABC):
    """Base of formats with small files: every chunk reads the whole file and takes its part.

    A reader implements ``rows`` and ``convert``.
    """

    suffixes: tuple[str, ...] = (".json",)

    @abstractmethod
    def rows(self, source: SourceConfig, files: Files) -> Iterator[Record]:
        """All records of the file, in order. Raises UserError if it cannot be read as a whole."""

    @abstractmethod
    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Drafts of one record. Raises RejectError."""

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Chunks of as many rows as the limits allow."""
        total = sum(1 for _ in self.rows(source, files))
        for first in range(0, total, limits.records):
            yield Chunk(first=first, count=min(limits.records, total - first))

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """The rows of a chunk."""
        rows = self.rows(source, files)
        return islice(rows, chunk.first, chunk.first + chunk.count) if chunk else rows

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The media of the converted drafts."""
        return tuple(draft.media for draft in self.convert(record, source, seed))


def record_key(source: SourceConfig, files: Files, *parts: object) -> str:
    """``<source>[/<file>]/<part>[/<part>]``: the same in every rebuild, and easy to find in the file."""
    return "/".join([source.name, *([files.name] if files.name else []), *map(str, parts)])
