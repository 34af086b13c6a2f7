"""Annotations in a Parquet file, row by row, as in a JSON list.

A chunk is a range of rows in one row group, the smallest unit that can be read, so memory grows with the
largest row group and not with the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.json.parse import Unparsed
from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
_DETAIL = b"parquet"


def parquet_chunks(path: Path, limits: Limits) -> Iterator[Chunk]:
    """Chunks in order, with about ``limits.bytes`` at most. Raises UserError for another kind of file."""
    first = 0
    with _open(path) as file:
        for group in range(file.num_row_groups):
            held = file.metadata.row_group(group)
            size = max(1, held.total_byte_size // max(1, held.num_rows))  # bytes per row
            step = min(limits.records, max(1, limits.bytes // size))
            for at in range(0, held.num_rows, step):
                count = min(step, held.num_rows - at)
                detail = b"%s %d %d" % (_DETAIL, group, at)
                yield Chunk(first=first, count=count, start=at * size, end=(at + count) * size, detail=detail)
                first += count


def holds_rows(chunk: Chunk) -> bool:
    """Whether a chunk was cut from a Parquet file."""
    return chunk.detail.startswith(_DETAIL)


def parquet_records(path: Path, chunk: Chunk) -> Iterator[Any]:
    """The rows of a chunk as objects; a row with text that is not UTF-8 is yielded as ``Unparsed``.

    A null counts as a missing field, because a column exists in all rows.
    """
    group, at = map(int, chunk.detail.split()[1:])
    table = _row_group(str(path), os.stat(path).st_mtime_ns, group).slice(at, chunk.count)
    for row in range(table.num_rows):
        try:
            yield {
                name: value
                for name, column in zip(table.column_names, table.columns, strict=True)
                if (value := _plain(column[row])) is not None
            }
        except (ValueError, KeyError) as error:
            yield Unparsed(" ".join(str(error).split())[:200], valid=True)


@lru_cache(maxsize=1)  # the chunks of a group are read one after the other
def _row_group(path: str, written: int, group: int) -> pa.Table:
    with _open(Path(path)) as file:
        return file.read_row_group(group)


def _plain(value: pa.Scalar) -> Any:
    """The value; a map or a struct becomes an object, nulls in a struct are left out."""
    if not value.is_valid:
        return None
    import pyarrow as pa  # here, so that judging a plan does not load it

    if pa.types.is_struct(value.type):
        return {n: plain for n in value if (plain := _plain(value[n])) is not None}
    if pa.types.is_map(value.type):
        pairs = [(entry["key"], entry["value"]) for entry in value.values]
        return {str(name.as_py()): _plain(item) for name, item in pairs}
    if hasattr(value, "values"):  # a list
        return [_plain(item) for item in value.values]
    return value.as_py()


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            str(path), f"is not a whole Parquet file ({problem}).", "Download it again."
        ) from error
