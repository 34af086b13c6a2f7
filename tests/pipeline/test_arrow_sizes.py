"""The size of rows, which decides a shard's row groups, does not depend on how their table was built."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.arrow import to_table
from pipeline.dataset.writer import value_bytes
from pipeline.records.sample import Role, Sample, Task, TimeSpan, Turn, VideoRef

SAMPLES = [
    Sample(
        key=f"s/{n}",
        dataset="s",
        task=Task.QA,
        video=VideoRef(path=f"{n}.mp4", num_frames=3, frame_starts_s=(0.0, 0.1, 0.4)),
        turns=(Turn(Role.USER, "q" * n), Turn(Role.ASSISTANT, "\N{GREEK SMALL LETTER ALPHA}")),
        spans=(TimeSpan(start_s=0.0, end_s=0.4, start_bin=0, end_bin=40),),
    )
    for n in range(40)
]


def test_validity_bitmaps_do_not_count() -> None:
    plain = to_table(SAMPLES)
    padded = pa.concat_tables([plain, pa.table([pa.nulls(1, f.type) for f in plain.schema], plain.schema)])
    same = padded.combine_chunks().filter(pc.less(pa.array(range(41)), 40))
    assert same.equals(plain)
    assert same.nbytes > plain.nbytes
    assert [*map(value_bytes, same.columns)] == [*map(value_bytes, plain.columns)]


def test_sizes_of_slices_add_up() -> None:
    table = to_table(SAMPLES)
    for column in table.columns:
        parts = [column.slice(0, 7), column.slice(7, 1), column.slice(8)]
        assert sum(map(value_bytes, parts)) == value_bytes(column) > 0
    assert value_bytes(table["key"]) == sum(4 + len(s.key) for s in SAMPLES)
    turns = sum(4 + 2 * 8 + sum(len(t.role) + len(t.text.encode()) for t in s.turns) for s in SAMPLES)
    assert value_bytes(table["turns"]) == turns
