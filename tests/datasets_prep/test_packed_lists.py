"""Annotations in gzip and in Parquet give the same samples as the same rows in JSON."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_prep import run
from datasets_prep.passes.chunks import list_units
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.json.json_file import Limits
from datasets_prep.sources.json.parse import Unparsed
from pipeline.artifacts.inputs import ANNOTATION_SUFFIXES
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.records.sample import Sample
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip


def rows() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for n in range(40):
        turns = [{"from": "human", "value": f"<image>\nQ{n}?"}, {"from": "gpt", "value": f"Ä{n}."}]
        made.append({"id": n, "video": "a.mp4", "data_source": "d", "conversations": turns})
    made[7]["start"], made[7]["end"] = 0.1, 0.4
    made[9]["conversations"][1]["value"] = None
    del made[11]["video"]
    return made


def as_json(path: Path, made: list[Any]) -> None:
    path.write_text(json.dumps(made))


def as_packed_json(path: Path, made: list[Any]) -> None:
    path.write_bytes(gzip.compress(json.dumps(made).encode()))


def as_packed_lines(path: Path, made: list[Any]) -> None:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, made)).encode()))


def as_parquet(path: Path, made: list[Any]) -> None:
    names = list(dict.fromkeys(name for row in made for name in row))
    columns = {name: [row.get(name) for row in made] for name in names}
    pq.write_table(pa.table(columns), path, row_group_size=17)


def as_packed_parquet(path: Path, made: list[Any]) -> None:
    as_parquet(path, made)
    path.write_bytes(gzip.compress(path.read_bytes()))


FILE_FORMATS: dict[str, Callable[[Path, list[Any]], None]] = {
    "a.json": as_json,
    "a.json.gz": as_packed_json,
    "a.jsonl.gz": as_packed_lines,
    "a.parquet": as_parquet,
    "no_ending": as_packed_json,
    "b.parquet": as_packed_parquet,
}


def source(place: Path, home: Path, **more: Any) -> SourceConfig:
    fields = {"name": "s", "format": "llava_video", "annotations": str(place), "media": [str(home / "media")]}
    return SourceConfig.model_validate(fields | more)


def prepare(home: Path, place: Path, out: str, **more: Any) -> tuple[list[Sample], list[dict[str, Any]]]:
    target = Location.parse(home / out)

    def resolve(path: str) -> Location:
        return Location.parse(path, home / "cache")

    run.build(PrepConfig(sources=(source(place, home, **more),), rows_per_shard=10), resolve, target, 1)
    reader = ShardReader(target)
    return [reader.sample("s", n) for n in range(reader.count("s"))], reader.rejects().to_pylist()


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("in_folder", [False, True])
def test_every_file_format_gives_the_same_samples(tmp_path: Path, in_folder: bool) -> None:
    write_clip(tmp_path / "media" / "a.mp4")
    found = {}
    for name, write in FILE_FORMATS.items():
        if in_folder and name in ("no_ending", "b.parquet"):
            continue
        folder = tmp_path / f"in-{name}"
        folder.mkdir()
        write(folder / name, rows())
        place = folder if in_folder else folder / name
        samples, rejects = prepare(tmp_path, place, f"out-{name}")
        assert [r["file"] for r in rejects] == [name] * 2
        found[name] = samples, [(r["key"], r["reason"]) for r in rejects]
    expected = found["a.json"]
    prefix = "s/a" if in_folder else "s"
    assert len(expected[0]) == 38
    assert expected[0][7].clip is not None
    assert expected[1] == [(f"{prefix}/9", "malformed"), (f"{prefix}/11", "malformed")]
    for name, made in found.items():
        assert made == expected, name


@pytest.mark.usefixtures("without_ray")
def test_the_same_part_is_selected_from_parquet_as_from_json(tmp_path: Path) -> None:
    write_clip(tmp_path / "media" / "a.mp4")
    as_json(tmp_path / "a.json", rows())
    as_parquet(tmp_path / "a.parquet", rows())
    few = {"select": {"count": 5}}
    one, _ = prepare(tmp_path, tmp_path / "a.json", "one", **few)
    two, _ = prepare(tmp_path, tmp_path / "a.parquet", "two", **few)
    assert one == two
    assert len(one) == 5


def test_a_chunk_is_within_one_row_group(tmp_path: Path) -> None:
    as_parquet(tmp_path / "a.parquet", rows())
    config, files = source(tmp_path, tmp_path), Files(annotations=tmp_path / "a.parquet")
    reader = reader_of("llava_video")
    chunks = list(reader.chunks(config, files, Limits(records=10, bytes=1 << 20)))
    assert [(c.first, c.count) for c in chunks] == [(0, 10), (10, 7), (17, 10), (27, 7), (34, 6)]
    backwards = [[(r.key, r.raw["id"]) for r in reader.records(config, files, c)] for c in reversed(chunks)]
    assert [found for part in reversed(backwards) for found in part] == [(f"s/{n}", n) for n in range(40)]
    tiny = list(reader.chunks(config, files, Limits(records=10, bytes=1)))
    assert [c.count for c in tiny] == [1] * 40


def test_values_of_columns_become_json_values(tmp_path: Path) -> None:
    """A null is an absent field, a map is an object, and text that is not UTF-8 rejects only its record."""
    kind = pa.map_(pa.string(), pa.struct([("segmentation", pa.string())]))
    ends, letters = pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")
    spoilt = pa.Array.from_buffers(pa.string(), 1, [None, ends, letters])
    texts = pa.chunked_array([pa.array(["x", None]), spoilt])
    masks = pa.array([[("3", {"segmentation": "m"})], None, []], kind)
    pq.write_table(pa.table({"text": texts, "annotation": masks}), tmp_path / "a.parquet")
    records = list(
        reader_of("videorefer").records(
            source(tmp_path, tmp_path, format="videorefer"), Files(annotations=tmp_path / "a.parquet")
        )
    )
    assert records[0].raw == {"text": "x", "annotation": {"3": {"segmentation": "m"}}}
    assert records[1].raw == {}
    assert isinstance(records[2].raw, Unparsed)
    assert records[2].raw.valid


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json.gz", gzip.compress(json.dumps(rows()).encode())[:-30], "cannot be unpacked"),
        ("a.json.gz", b"\x1f\x8b" + b"?" * 40, "cannot be unpacked"),
        ("a.json.gz", gzip.compress(b"[1,"), "is not whole JSON"),
        ("a.parquet", b"PAR1 and then nothing", "is not a whole Parquet file"),
        ("a.json", b"BZh9", r"is compressed \(bzip2\)"),
    ],
    ids=["cut off", "damaged", "incomplete JSON inside", "not Parquet", "another compression"],
)
def test_errors_name_the_damaged_file_as_it_is_on_disk(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / name))}: {problem}"):
        prepare(tmp_path, tmp_path / name, "out")


def test_one_list_in_two_file_formats_is_refused(tmp_path: Path) -> None:
    as_json(tmp_path / "a.json", rows())
    as_parquet(tmp_path / "a.parquet", rows())
    with pytest.raises(UserError, match="look like one list in two forms"):
        list_units([source(tmp_path, tmp_path)], Location.parse)
    (unit,) = list_units([source(tmp_path, tmp_path, files=["*.json"])], Location.parse)
    assert unit.annotations.name == "a.json"


def test_every_file_format_has_a_known_suffix() -> None:
    for name in FILE_FORMATS:
        if "." in name:
            assert name.endswith(ANNOTATION_SUFFIXES)


def test_a_file_is_unpacked_once_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unpacked file is never in memory as a whole, and is unpacked again when the file changes."""
    import tracemalloc

    from pipeline.storage import unpacked

    packed = tmp_path / "a.json.gz"
    with gzip.open(packed, "wb", compresslevel=1) as out:
        for _ in range(64):
            out.write(b" " * (1 << 20))
    place = Location.parse(packed, tmp_path / "cache")
    tracemalloc.start()
    first = unpacked.fetch_unpacked(place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first.stat().st_size == 64 << 20
    assert peak < 16 << 20
    assert unpacked.fetch_unpacked(place) == first
    packed.write_bytes(gzip.compress(b"[]"))
    os.utime(packed, (1, 1))
    assert unpacked.fetch_unpacked(place).read_bytes() == b"[]"
    monkeypatch.setattr(unpacked, "_LEFT_FREE", 1 << 60)
    packed.write_bytes(gzip.compress(b"[ ]"))
    with pytest.raises(UserError, match=r"does not fit on the disk .*storage\.cache"):
        unpacked.fetch_unpacked(place)
