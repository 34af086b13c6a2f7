"""The prediction store and the cutting into chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bench import sample, track

from evaluation.prediction import Prediction
from evaluation.prediction_store import PredictionStore, content_digest
from evaluation.work import choose_samples, chunks
from pipeline.plan.evaluation import CHUNK_SAMPLES
from pipeline.records.sample import TimeSpan
from pipeline.storage.location import Location


def predictions(count: int) -> list[Prediction]:
    span = TimeSpan(start_s=1.5, end_s=0.5, start_bin=74, end_bin=25)  # reversed: stored as written
    full = Prediction(
        key="k0", source="a/b", checkpoint="c", text="naïve {<TEMP-074><TEMP-025>} [SEG]", spans=(span,),
        masks=(track(0, range(3)), track(1, range(2))), seconds=0.25,
    )  # fmt: skip
    return [
        full,
        *(Prediction(key=f"k{i}", source="a/b", checkpoint="c", failure="gone") for i in range(1, count)),
    ]


def store(folder: Path, stamp: str = "one") -> PredictionStore:
    return PredictionStore(Location.parse(folder), stamp)


def test_round_trip(tmp_path: Path) -> None:
    made = predictions(3)
    store(tmp_path).write("a/b", 7, made)
    found = store(tmp_path).read("a/b", 7)
    assert found == made
    assert found[0].seconds == 0.25
    assert (tmp_path / "a/b/part-00007.parquet").is_file()
    assert [p.name for p in (tmp_path / "a/b").iterdir()] == ["part-00007.parquet"]


def test_a_part_counts_only_if_it_is_the_same_work(tmp_path: Path) -> None:
    store(tmp_path).write("a/b", 0, predictions(2))
    assert store(tmp_path).has("a/b", 0, ["k0", "k1"])
    assert not store(tmp_path).has("a/b", 0, ["k1", "k0"])
    assert not store(tmp_path).has("a/b", 0, ["k0"])
    assert not store(tmp_path).has("a/b", 1, ["k0", "k1"])
    other = store(tmp_path, "another checkpoint")
    assert not other.has("a/b", 0, ["k0", "k1"])
    with pytest.raises(FileNotFoundError, match="something else"):
        other.read("a/b", 0)


def test_parts_of_a_larger_dataset_go(tmp_path: Path) -> None:
    for number in range(3):
        store(tmp_path).write("a/b", number, predictions(1))
    assert store(tmp_path).prune("a/b", 2) == 1
    assert sorted(p.name for p in (tmp_path / "a/b").iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def test_the_digest_is_of_what_was_predicted_not_of_how_long_it_took() -> None:
    made = predictions(2)
    base = content_digest(iter(made))
    assert content_digest(iter([replace(p, seconds=9.0) for p in made])) == base
    assert content_digest(iter([replace(made[0], text="other"), made[1]])) != base
    assert content_digest(iter(made[::-1])) != base


def test_chunks_depend_on_the_keys_alone() -> None:
    keys = [sample("bench/mvbench", n).key for n in range(40)]
    parts = chunks("s", keys, None, 1)
    assert [len(p.rows) for p in parts] == [CHUNK_SAMPLES, CHUNK_SAMPLES, 40 - 2 * CHUNK_SAMPLES]
    assert [key for p in parts for key in p.keys] == keys
    limited = [key for p in chunks("s", keys, 6, 1) for key in p.keys]
    assert len(limited) == 6
    assert limited == sorted(limited, key=keys.index)
    assert set(limited) == {keys[i] for i in choose_samples(keys, 6, 1, "benchmark")}
    shuffled = keys[::-1]
    assert {shuffled[i] for i in choose_samples(shuffled, 6, 1, "benchmark")} == set(
        limited
    )  # by name, not by place
    assert set(limited) < {keys[i] for i in choose_samples(keys, 7, 1, "benchmark")}
