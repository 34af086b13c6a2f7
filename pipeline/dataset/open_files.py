"""The open Parquet files of a dataset and a bounded cache of recent values; the oldest is dropped."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import MissingFileError
from pipeline.storage.location import Location

_OPEN_FILES = 32
_CACHED_GROUPS = 64
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """The values used last, by key. Not safe to share between threads without a lock.

    ``most`` bounds the sum of their weights: ``weigh`` of each, by default 1. At least one value is
    always kept. ``drop`` is called with each value that is removed.
    """

    def __init__(
        self,
        most: int,
        weigh: Callable[[_Value], int] = lambda value: 1,
        drop: Callable[[_Value], None] = lambda value: None,
    ) -> None:
        self._most, self._weigh, self._drop = most, weigh, drop
        self._kept: OrderedDict[_Key, _Value] = OrderedDict()
        self._weight = 0

    def get(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        """The value of a key, made if it is not there."""
        if key not in self._kept:
            self._kept[key] = value = make()
            self._weight += self._weigh(value)
            while self._weight > self._most and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._weight -= self._weigh(oldest)
                self._drop(oldest)
        self._kept.move_to_end(key)
        return self._kept[key]

    def forget(self, which: Callable[[_Key], bool]) -> None:
        """Remove the values whose keys fit."""
        for key in [key for key in self._kept if which(key)]:
            value = self._kept.pop(key)
            self._weight -= self._weigh(value)
            self._drop(value)


class OpenFiles:
    """Parquet files below a location by name, at most a few of them open. Remote ones are fetched whole.

    With ``columns``, ``row`` reads those only. Not safe to share between threads without a lock.
    """

    def __init__(
        self,
        location: Location,
        check: Callable[[pa.Schema, str], None],
        columns: Sequence[str] | None = None,
    ) -> None:
        self._location, self._check = location, check
        self._columns = list(columns) if columns else None
        self._groups: Recent[tuple[str, int], pa.Table] = Recent(_CACHED_GROUPS)
        self._files: Recent[str, pq.ParquetFile] = Recent(_OPEN_FILES, drop=lambda file: file.close())

    def get(self, name: str) -> pq.ParquetFile:
        """An open file. Raises MissingFileError; ``check`` gets its schema and its URI."""
        return self._files.get(name, lambda: self._open(name))

    def read_group(self, name: str, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A row group, read anew. Raises OSError; the next call then opens the file again.

        A handle that has become stale on a network mount stays so, while the file itself may be well.
        """
        file = self.get(name)
        try:
            return file.read_row_group(number, columns=columns)
        except OSError:
            self.forget(name)
            raise

    def forget(self, name: str) -> None:
        """Close a file, if it is open."""
        self._files.forget(lambda open_one: open_one == name)

    def row(self, name: str, number: int) -> pa.Table:
        """One row of a file whose row groups have one size but for the last; those read last are kept."""
        group, at = divmod(number, self.get(name).metadata.row_group(0).num_rows)
        return self._group(name, group).slice(at, 1)

    def rows(self, name: str, numbers: Sequence[int]) -> Iterator[pa.Table]:
        """Some rows of such a file, in this order: a table for each run of them in one row group."""
        size = self.get(name).metadata.row_group(0).num_rows
        for group, run in groupby(numbers, lambda number: number // size):
            inside = [number - group * size for number in run]
            first, count = inside[0], len(inside)
            consecutive = inside == list(range(first, first + count))
            table = self._group(name, group)
            yield table.slice(first, count) if consecutive else table.take(inside)

    def whole(self, name: str) -> pa.Table:
        """All rows of a file. For small files this takes half as long as one row group after another."""
        return self.get(name).read(columns=self._columns, use_threads=False)

    def _group(self, name: str, number: int) -> pa.Table:
        return self._groups.get((name, number), lambda: self.read_group(name, number, self._columns))

    def _open(self, name: str) -> pq.ParquetFile:
        place = self._location / name
        if not place.exists():
            raise MissingFileError(
                place.uri, "is named by the manifest but missing.", "Prepare the dataset again."
            )
        file = pq.ParquetFile(place.fetch(), pre_buffer=False)
        self._check(file.schema_arrow, place.uri)
        return file
