"""A preparation that is killed, resumed or partly changed gives the same bytes and makes no shard twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datasets_prep import run
from datasets_prep.passes.select import rank
from datasets_prep.passes.shard_job import WORK
from pipeline.dataset.manifest import MANIFEST, Manifest
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip

pytestmark = pytest.mark.usefixtures("without_ray")
SEED = 5


def rows(count: int, video: str = "a.mp4", word: str = "Q") -> list[dict[str, Any]]:
    return [
        {
            "video": video,
            "conversations": [{"from": "human", "value": f"{word}{n}?"}, {"from": "gpt", "value": "A"}],
        }
        for n in range(count)
    ]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two sources of 40 and 25 records; the last record of the first has no conversation."""
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / "media" / name)
    (tmp_path / "one.json").write_text(json.dumps([*rows(39), {"video": "gone.mp4"}]))
    (tmp_path / "two.json").write_text(json.dumps(rows(25, "b.mp4")))
    return tmp_path


def plan(home: Path, **select: int) -> PrepConfig:
    sources = tuple(
        SourceConfig.model_validate(
            {
                "name": name,
                "format": "llava_video",
                "annotations": str(home / f"{name}.json"),
                "media": (str(home / "media"),),
                "select": {"count": select.get(name)},
            }
        )
        for name in ("one", "two")
    )
    return PrepConfig(sources=sources, rows_per_shard=10)


def build(home: Path, out: str, digests: Mapping[str, str] | None = None, **select: int) -> Manifest:
    place = Location.parse(home / "made" / out)
    return run.build(plan(home, **select), Location.parse, place, SEED, digests)


def files(home: Path, out: str) -> dict[str, bytes]:
    folder = home / "made" / out
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.suffix in (".parquet", ".pq", ".json")}


def counting(real: Any, made: list[Any]) -> Any:
    def counts(job: Any, *rest: Any) -> Any:
        made.append((job.source, job.number))
        return real(job, *rest)

    return counts


def test_a_preparation_killed_after_any_shard_resumes_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(home, "whole", {"one": "1"})
    assert len(whole.shards) == 7
    assert not (home / "made" / "whole" / WORK).exists()
    real = run.run_job
    # Each run has its own digests, or the shards would be reused from the complete dataset.
    for survived in range(7):
        digests = {"one": f"1 {survived}", "two": f"2 {survived}"}
        done: list[int] = []

        def dies(job: Any, *rest: Any, done: list[int] = done, survived: int = survived) -> Any:
            if len(done) == survived:
                raise KeyboardInterrupt
            done.append(job.number)
            return real(job, *rest)

        monkeypatch.setattr(run, "run_job", dies)
        name = f"killed-{survived}"
        with pytest.raises(KeyboardInterrupt):
            build(home, name, digests)
        assert not (home / "made" / name / MANIFEST).exists()
        done.clear()
        monkeypatch.setattr(run, "run_job", counting(real, done))
        made = build(home, name, digests)
        assert (made.digest, made.shards) == (whole.digest, whole.shards)
        assert len(done) == 7 - survived
        theirs, ours = files(home, "whole"), files(home, name)
        assert {n: b for n, b in ours.items() if n != MANIFEST} == {
            n: b for n, b in theirs.items() if n != MANIFEST
        }


def test_a_receipt_is_valid_only_for_its_own_job_and_an_intact_shard(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards are written again if damaged after their receipt, or if the annotation file has changed."""
    real = run.run_job
    made: list[Any] = []

    def dies_at_the_end(job: Any, *rest: Any) -> Any:
        if job.source == "two":
            raise KeyboardInterrupt
        return real(job, *rest)

    monkeypatch.setattr(run, "run_job", dies_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        build(home, "cut", {"one": "1", "two": "2"})
    (home / "made" / "cut" / "data/one-00002.parquet").write_bytes(b"half a shard")
    monkeypatch.setattr(run, "run_job", counting(real, made))
    build(home, "cut", {"one": "1", "two": "2"})
    assert made == [("one", 2), ("two", 0), ("two", 1), ("two", 2)]
    ShardReader(Location.parse(home / "made" / "cut")).verify()

    monkeypatch.setattr(run, "run_job", dies_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        build(home, "changed", {"one": "other", "two": "2x"})
    made.clear()
    monkeypatch.setattr(run, "run_job", counting(real, made))
    build(home, "changed", {"one": "another", "two": "2x"})
    assert len(made) == 7


def test_a_changed_source_rebuilds_only_its_own_shards(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build(home, "before", {"one": "1", "two": "2"})
    (home / "two.json").write_text(json.dumps(rows(26, "b.mp4", "Other")))
    made: list[Any] = []
    monkeypatch.setattr(run, "run_job", counting(run.run_job, made))
    after = build(home, "after", {"one": "1", "two": "2, changed"})
    assert made == [("two", 0), ("two", 1), ("two", 2)]
    kept = [s for s in before.shards if s.source == "one"]
    assert [s for s in after.shards if s.source == "one"] == kept
    assert after.source("one").model_dump() == before.source("one").model_dump()
    assert after.source("two").kept == 26
    reader = ShardReader(Location.parse(home / "made" / "after"))
    reader.verify()
    assert [(row["key"], row["reason"]) for row in reader.rejects().to_pylist()] == [("one/39", "malformed")]
    # A preparation from scratch gives the same dataset.
    monkeypatch.setattr(run, "reuse_sources", lambda *_: {})
    fresh = build(home, "fresh", {"one": "1", "two": "2, changed"})
    assert fresh == after
    assert files(home, "fresh") == files(home, "after")


@pytest.mark.parametrize("change", ["video", "setting", "damaged donor"])
def test_a_source_is_rebuilt_if_a_video_a_setting_or_the_earlier_shards_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    digests = {"one": "1", "two": "2"}
    build(home, "before", digests)
    if change == "video":
        write_clip(home / "media" / "b.mp4", frames=30)
    if change == "damaged donor":
        (home / "made" / "before" / "data/two-00001.parquet").write_bytes(b"altered")
    made: list[Any] = []
    monkeypatch.setattr(run, "run_job", counting(run.run_job, made))
    after = build(home, "after", digests, **({"two": 20} if change == "setting" else {}))
    assert {source for source, _ in made} == {"two"}
    assert after.source("two").kept == (20 if change == "setting" else 25)
    ShardReader(Location.parse(home / "made" / "after")).verify()


def test_exactly_the_requested_number_of_samples_is_kept_and_the_choice_is_stable(home: Path) -> None:
    """The valid samples of lowest rank are kept, whatever records are added to the file."""
    made = build(home, "twelve", one=12)
    entry = made.source("one")
    assert entry.kept == 12
    assert entry.read == 40 == entry.kept + entry.rejected + entry.not_selected
    keys = ShardReader(Location.parse(home / "made" / "twelve")).keys("one")
    assert sorted(keys) == sorted(sorted((f"one/{n}" for n in range(39)), key=lambda k: rank(SEED, k))[:12])
    published = pq.read_table(home / "made" / "twelve" / "selected.pq").to_pylist()
    assert published == [{"source": "one", "key": k, "rank": rank(SEED, k)} for k in keys]
    (home / "one.json").write_text(json.dumps(rows(60)))
    build(home, "grown", one=12)
    grown = ShardReader(Location.parse(home / "made" / "grown")).keys("one")
    joined = set(grown) - set(keys)
    assert all(int(key.split("/")[1]) >= 39 for key in joined), "only new samples take a place"
    assert build(home, "all", one=1000).source("one").kept == 60
    assert build(home, "none", one=0).source("one").model_dump(include={"kept", "not_selected"}) == {
        "kept": 0,
        "not_selected": 60,
    }


def test_a_refused_dataset_has_no_manifest(home: Path) -> None:
    (home / "two.json").write_text(json.dumps([{"video": "b.mp4"}] * 3))
    with pytest.raises(UserError, match=r"source two: gave no sample: 3 read, 3 rejected \(3 x malformed\)"):
        build(home, "refused")
    assert not (home / "made" / "refused" / MANIFEST).exists()
