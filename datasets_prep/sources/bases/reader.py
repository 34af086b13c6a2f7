"""What every reader is: one file per annotation format, pure but for reading that file.

A reader cuts a file into chunks and turns the records of any chunk into drafts. Chunks are read anywhere, in
any order, and more than once, so both must be functions of their arguments alone.
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
    """One unit of reading, on the local disk.

    ``name`` is what tells this file from others of its source: empty for the only one, else the relative
    path, without its suffix where no two files differ in that alone. It becomes a part of every key.
    ``masks`` is the file or folder of masks of formats that keep them apart; ``keep_videos`` and
    ``drop_videos`` are the plan's lists of videos.
    """

    annotations: Path
    masks: Path | None = None
    name: str = ""
    keep_videos: Path | None = None
    drop_videos: Path | None = None


class Record(NamedTuple):
    """One raw record, the key that its sample will have, and the name of its file without the suffix.

    ``left_out``: the plan names another split or other videos. Such a record counts as not selected; its
    ``raw`` is None, and nobody may ask for its media or convert it.
    """

    key: str
    raw: Any
    file: str = ""
    left_out: bool = False


class Dialogue(NamedTuple):
    """A record that is questions and answers in words and nothing else, as most of the large lists are.

    ``texts`` are stripped; none is empty, holds a placeholder, or is too long; user and assistant take turns.
    Of a multiple choice, ``choices`` are the texts of the options and ``answer_index`` is the right one.
    """

    media: Media
    texts: list[str]
    category: str
    choices: tuple[str, ...] = ()
    answer_index: int = -1


class Reader(Protocol):
    """A format."""

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
        """The media that the drafts of a record will name. Raises RejectError where there will be none."""
        ...

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Drafts of one record; more than one have keys ``<record key>/<part>``. Raises RejectError."""
        ...


@runtime_checkable
class ReadsDialogues(Protocol):
    """A format with millions of dialogues."""

    def dialogue(self, record: Record, source: SourceConfig) -> Dialogue | None:
        """The record, if it is surely a dialogue: ``convert`` would make one draft of it, of the same texts.

        A record of which this says None is converted.
        """
        ...

    def rows(self, files: Files, chunk: Chunk) -> Iterator[Any]:
        """What the records of a chunk are made of, names that stand twice unnoticed: for a first look."""
        ...

    def names_media(self, raw: Any) -> Hashable:
        """What names the media of a row: rows of which it is the same have the same. None: ask ``media``."""
        ...


class ListReader:
    """Base of formats whose file is a list of rows; the index of a row in its file names it."""

    suffixes: tuple[str, ...] = ENDINGS

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Cut by the structure of the file alone."""
        return list_chunks(files.annotations, limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Rows in file order."""
        prefix, stem = record_key(source, files), files.annotations.stem
        parts = [chunk] if chunk else self.chunks(source, files, WHOLE)
        for part in parts:
            for index, raw in enumerate(list_records(files.annotations, part), part.first):
                yield Record(f"{prefix}/{index}", raw, stem)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """What the row's ``video`` says, without converting the rest of it."""
        return (media_of(video_of(mapping(record.raw))),)


class RowsReader(ABC):
    """Base of formats whose files are small: every chunk reads the file again and takes its part.

    A reader gives ``rows`` and ``convert``.
    """

    suffixes: tuple[str, ...] = (".json",)

    @abstractmethod
    def rows(self, source: SourceConfig, files: Files) -> Iterator[Record]:
        """All records of the file, in order. Raises UserError if it cannot be read as a whole."""

    @abstractmethod
    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Drafts of one record. Raises RejectError."""

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """As many rows each as the limits allow."""
        total = sum(1 for _ in self.rows(source, files))
        for first in range(0, total, limits.records):
            yield Chunk(first=first, count=min(limits.records, total - first))

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """The rows of a chunk."""
        rows = self.rows(source, files)
        return islice(rows, chunk.first, chunk.first + chunk.count) if chunk else rows

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """Those of the converted drafts."""
        return tuple(draft.media for draft in self.convert(record, source, seed))


def record_key(source: SourceConfig, files: Files, *parts: object) -> str:
    """``<source>[/<file>]/<part>[/<part>]``: the same in every rebuild, and findable in the file."""
    return "/".join([source.name, *([files.name] if files.name else []), *map(str, parts)])
