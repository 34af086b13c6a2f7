"""Shards are plain Parquet: pandas, Polars, DuckDB and `datasets` read them without this project."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import SourceEntry, make_manifest, write_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import write_shard
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, Task, TimeSpan, Turn, VideoRef
from pipeline.storage.location import Location
from tests.one_process import printed_by

SPAN = TimeSpan(start_s=1.5, end_s=4.0, start_bin=15, end_bin=40)
TRACK = MaskTrack(height=4, width=6, frames=(0, 7), counts=(masks.empty(4, 6), masks.union([], 4, 6)))

# Each program prints the same facts.
FACTS = "3 ['s/0', 's/1', 's/2'] Wann? {<TEMP-015><TEMP-040>} 1.5 [0, 7] 10.0 None"
READERS = {
    "pandas": """
import pandas
t = pandas.read_parquet(path)
row = t.iloc[1]
print(len(t), t["key"].tolist(), row.turns[0]["text"], row.turns[1]["text"], row.spans[0]["start_s"],
      list(map(int, row.targets[0]["frames"])), row.video["duration_s"], t["clip"][0])
""",
    "polars": """
import polars
t = polars.read_parquet(path)
row = t.row(1, named=True)
print(len(t), t["key"].to_list(), row["turns"][0]["text"], row["turns"][1]["text"],
      row["spans"][0]["start_s"], row["targets"][0]["frames"], row["video"]["duration_s"],
      t.row(0, named=True)["clip"])
""",
    "duckdb": """
import duckdb
ask = duckdb.sql
keys = [k for (k,) in ask(f"select key from '{path}' order by key").fetchall()]
(row,) = ask(f"select turns[1].text, turns[2].text, spans[1].start_s, targets[1].frames, "
             f"video.duration_s, clip from '{path}' where key = 's/1'").fetchall()
print(len(keys), keys, *row)
""",
    "datasets": """
import datasets
t = datasets.Dataset.from_parquet(path, cache_dir=cache)
row = t[1]
print(len(t), list(t["key"]), row["turns"][0]["text"], row["turns"][1]["text"],
      row["spans"][0]["start_s"], row["targets"][0]["frames"], row["video"]["duration_s"], t[0]["clip"])
""",
}


def sample(number: int) -> Sample:
    return Sample(
        key=f"s/{number}",
        dataset="s",
        task=Task.TEMPORAL,
        video=VideoRef(path="a.mp4", num_frames=20, fps=2.0, duration_s=10.0, height=4, width=6, sha256="ab"),
        turns=(
            Turn(role=Role.USER, text="Wann?"),
            Turn(role=Role.ASSISTANT, text="{<TEMP-015><TEMP-040>}"),
        ),
        targets=(TRACK,) if number == 1 else (),
        spans=(SPAN,),
        choices=("a", "b") if number == 2 else (),
        clip=SPAN if number == 2 else None,
        category="x",
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    out = Location.parse(folder)
    shard = write_shard(out, "s", 0, to_table([sample(n) for n in range(3)]))
    counts = {"read": 3, "kept": 3, "rejected": 0, "not_selected": 0, "rejects": {}}
    entry = SourceEntry.model_validate({"name": "s", "use": "train", "media": ("/m",), **counts})
    write_manifest(out, make_manifest([shard], [entry], 2048))
    return folder


@pytest.fixture(scope="module")
def printed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Output of each reader by its name."""
    folder = tmp_path_factory.mktemp("readers")
    return printed_by(READERS, folder, path=str(dataset / "data" / "s-00000.parquet"), cache=str(folder))


@pytest.mark.parametrize("reader", READERS)
def test_other_libraries_read_the_shards_without_this_project(printed: dict[str, str], reader: str) -> None:
    if find_spec(reader) is None:
        pytest.skip(f"{reader} is not installed")
    assert printed[reader].strip() == FACTS


def test_samples_are_read_back_exactly(dataset: Path) -> None:
    reader = ShardReader(Location.parse(dataset))
    assert [reader.sample("s", n) for n in range(3)] == [sample(n) for n in range(3)]


def test_only_the_requested_columns_are_read(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = []
    real = pq.ParquetFile.read_row_group

    def spy(self: pq.ParquetFile, number: int, columns: list[str] | None = None) -> object:
        requested.append(columns)
        return real(self, number, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    found = ShardReader(Location.parse(dataset), ("key", "dataset", "task", "video", "turns")).sample("s", 2)
    assert requested == [["key", "dataset", "task", "video", "turns"]]
    assert (found.turns, found.video) == (sample(2).turns, sample(2).video)
    assert (found.choices, found.spans, found.clip, found.answer_index) == ((), (), None, -1)


def test_shards_are_compressed_by_zstd_and_have_small_row_groups(dataset: Path, tmp_path: Path) -> None:
    file = pq.ParquetFile(dataset / "data" / "s-00000.parquet")
    group = file.metadata.row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}
    heavy = MaskTrack(height=4, width=6, frames=tuple(range(900)), counts=(masks.empty(4, 6) * 9,) * 900)
    light = [sample(n) for n in range(1000)]
    rows = [s.__class__(**{**_fields(s), "targets": (heavy,)}) for s in light[:100]]
    sizes = []
    for name, samples in (("light", light), ("heavy", rows)):
        write_shard(Location.parse(tmp_path), name, 0, to_table(samples))
        found = pq.ParquetFile(tmp_path / "data" / f"{name}-00000.parquet").metadata
        sizes.append([found.row_group(n).num_rows for n in range(found.num_row_groups)])
    assert sizes == [[512, 488], [16] * 6 + [4]]


def _fields(one: Sample) -> dict[str, object]:
    return {name: getattr(one, name) for name in Sample.__slots__}
