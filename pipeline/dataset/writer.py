"""Writes the Parquet files of a dataset: shards of samples, and the tables beside them."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.arrow import SAMPLE_SCHEMA, WITH_VOID
from pipeline.dataset.manifest import ShardEntry, shard_name
from pipeline.storage.location import Location

IRREGULAR_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("source", "key", "irregularity", "detail", "file")]
)
SELECTED_SCHEMA = pa.schema([("source", pa.string()), ("key", pa.string()), ("rank", pa.uint64())])
REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "key", "reason", "detail", "file")])

# Reading one sample means reading its row group, so it holds few rows with masks and many of plain text.
_GROUP_BYTES = 512 << 10
_GROUP_ROWS = (16, 512)  # at least, at most
_LIST_BYTES = 4  # the offset of a list
_TEXTS = {pa.string(): 4, pa.binary(): 4, pa.large_string(): 8, pa.large_binary(): 8}  # the offset of a text


def write_shard(out: Location, source: str, number: int, table: pa.Table) -> ShardEntry:
    """Write rows of ``to_table`` as one shard in one atomic act. The same rows give the same bytes."""
    assert table.schema.equals(SAMPLE_SCHEMA) or table.schema.equals(WITH_VOID), (
        "a shard holds rows of the sample schema"
    )
    name = shard_name(source, number)
    content = parquet_bytes(table.replace_schema_metadata(SAMPLE_SCHEMA.metadata))
    (out / name).write_bytes(content)
    return ShardEntry(
        name=name,
        source=source,
        rows=table.num_rows,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def parquet_bytes(table: pa.Table) -> bytes:
    """Parquet of a table, with every setting that could vary fixed."""
    # The chunks of a table shape the pages of the file, so they must not depend on how it was made.
    table = table.combine_chunks()
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=_rows_per_group(table),
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
        use_dictionary=["dataset", "task", "category"] if "dataset" in table.column_names else False,
    )
    return buffer.getvalue()


def _rows_per_group(table: pa.Table) -> int:
    """A multiple of 16 that depends only on the size of the rows' values: equal rows, equal groups."""
    fit = _GROUP_BYTES * table.num_rows // max(sum(map(value_bytes, table.columns)), 1)
    return min(max(fit // 16 * 16, _GROUP_ROWS[0]), _GROUP_ROWS[1])


def value_bytes(column: pa.Array | pa.ChunkedArray) -> int:
    """Bytes of a column's values, however the column was made.

    ``nbytes`` also counts validity bitmaps, which a column of the same values may lack.
    """
    if isinstance(column, pa.ChunkedArray):
        return sum(map(value_bytes, column.chunks))
    kind = column.type
    if pa.types.is_struct(kind):
        return sum(map(value_bytes, column.flatten()))
    if pa.types.is_list(kind):
        return _LIST_BYTES * len(column) + value_bytes(column.flatten())
    if kind in _TEXTS:
        return _TEXTS[kind] * len(column) + (pc.sum(pc.binary_length(column)).as_py() or 0)
    return len(column) * kind.bit_width // 8
