"""Parquet columns -> samples, many at once by column or a few by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.columns import from_columns
from pipeline.dataset.arrow import WITH_VOID
from pipeline.records.sample import MaskTrack, Role, Sample, Task, TimeSpan, Turn, VideoRef

_FEW = 8  # rows


def from_table(table: pa.Table) -> list[Sample]:
    """The samples of a table. Columns that were not read are empty in them.

    Of many rows by column, since most of the time that a row takes goes into its Arrow scalars; a few rows
    are faster one by one. Samples of one video may share one ``VideoRef``.
    """
    if table.num_rows < _FEW:
        return [_from_row(row) for row in table.to_pylist()]
    columns = {
        name: (_plain if name in _AS_THEY_ARE else _FROM[name])(_array(table.column(name)))
        for name in WITH_VOID.names
        if name in table.column_names
    }
    return from_columns(Sample, table.num_rows, **columns)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _plain(array: pa.Array) -> list[Any]:
    """Values of a column of texts or numbers, as ``to_pylist`` gives them, in a fraction of the time."""
    return array.to_pylist() if array.null_count else array.to_numpy(zero_copy_only=False).tolist()


def _tuples(array: pa.ListArray, read: Callable[[pa.Array], list[Any]] = _plain) -> list[tuple[Any, ...]]:
    """A column of lists, whose items ``read`` turns into objects all at once."""
    items = array.flatten()  # unlike ``values``, only those of this part of a longer array
    if not len(items):
        return [()] * len(array)
    rest = iter(read(items))
    return [tuple(islice(rest, length)) for length in array.value_lengths().tolist()]


def _fields(array: pa.StructArray) -> dict[str, pa.Array]:
    return dict(zip((field.name for field in array.type), array.flatten(), strict=True))


def _read_tracks(array: pa.StructArray) -> list[MaskTrack]:
    of = _fields(array)
    sizes = _plain(of["height"]), _plain(of["width"])
    rows = zip(*sizes, _tuples(of["frames"]), _tuples(of["counts"]), strict=True)
    return [MaskTrack(height=h, width=w, frames=frames, counts=counts) for h, w, frames, counts in rows]


def _read_spans(array: pa.StructArray) -> list[TimeSpan]:
    of = _fields(array)
    return from_columns(TimeSpan, len(array), **{name: _plain(part) for name, part in of.items()})


def _optional(array: pa.StructArray, read: Callable[[pa.Array], list[Any]]) -> list[Any]:
    if array.null_count == len(array):
        return [None] * len(array)
    there = iter(read(array.drop_null()))
    return [next(there) if valid else None for valid in array.is_valid().to_pylist()]


def _read_turns(array: pa.StructArray) -> list[Turn]:
    of = _fields(array)
    roles = _plain(of["role"])
    known = {role: Role(role) for role in set(roles)}
    return list(map(Turn, map(known.__getitem__, roles), _plain(of["text"])))


def _read_tasks(array: pa.Array) -> list[Task]:
    names = _plain(array)
    known = {name: Task(name) for name in set(names)}
    return [known[name] for name in names]


def _read_videos(array: pa.StructArray) -> list[VideoRef]:
    of = _fields(array)
    columns = [_tuples(part) if pa.types.is_list(part.type) else _plain(part) for part in of.values()]
    rows = list(zip(*columns, strict=True))
    once = dict.fromkeys(rows)
    made = from_columns(VideoRef, len(once), **dict(zip(of, zip(*once, strict=True), strict=True)))
    refs = dict(zip(once, made, strict=True))
    return [refs[row] for row in rows]


_AS_THEY_ARE = ("key", "dataset", "expression", "answer_index", "reference", "category")
_FROM: dict[str, Callable[[Any], list[Any]]] = {
    "task": _read_tasks,
    "video": _read_videos,
    "turns": lambda array: _tuples(array, _read_turns),
    "regions": lambda array: _tuples(array, _read_tracks),
    "targets": lambda array: _tuples(array, _read_tracks),
    "spans": lambda array: _tuples(array, _read_spans),
    "question_spans": lambda array: _tuples(array, _read_spans),
    "instants": lambda array: _tuples(array, _read_spans),
    "clip": lambda array: _optional(array, _read_spans),
    "choices": _tuples,
    "void": lambda array: _optional(array, _read_tracks),
}


def _from_row(row: Mapping[str, Any]) -> Sample:
    """The sample of one row, as ``Table.to_pylist`` gives it."""
    fields: dict[str, Any] = {name: row[name] for name in _AS_THEY_ARE if name in row}
    for name, read in _OF_ROW.items():
        if name in row:
            fields[name] = read(row[name])
    return Sample(**fields)


def _track(row: Mapping[str, Any]) -> MaskTrack:
    return MaskTrack(
        height=row["height"], width=row["width"], frames=tuple(row["frames"]), counts=tuple(row["counts"])
    )


def _video(row: Mapping[str, Any]) -> VideoRef:
    lists = {name: tuple(row[name]) for name in ("frames", "frame_starts_s")}
    return VideoRef(**{**row, **lists})


def _tracks(rows: Sequence[Mapping[str, Any]]) -> tuple[MaskTrack, ...]:
    return tuple(map(_track, rows))


def _spans(rows: Sequence[Mapping[str, Any]]) -> tuple[TimeSpan, ...]:
    return tuple(TimeSpan(**row) for row in rows)


_OF_ROW: dict[str, Callable[[Any], Any]] = {
    "task": Task,
    "video": _video,
    "turns": lambda rows: tuple(Turn(role=Role(row["role"]), text=row["text"]) for row in rows),
    "regions": _tracks,
    "targets": _tracks,
    "spans": _spans,
    "question_spans": _spans,
    "instants": _spans,
    "clip": lambda row: TimeSpan(**row) if row else None,
    "choices": tuple,
    "void": lambda row: _track(row) if row else None,
}
