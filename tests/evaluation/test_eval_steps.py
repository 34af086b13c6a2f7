"""The two steps for real: the toy model, Ray actors, the store, the table and the page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_bench import BROKEN, PER_SOURCE, SOURCES, sample, staged

from evaluation.prediction_store import from_row
from evaluation.run import evaluate, report
from evaluation.work import Chunk, run_on_actors
from pipeline.artifacts.record import Artifact
from pipeline.jobs import tracking
from pipeline.jobs.step import build, make_context
from pipeline.plan.plan import Plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return staged(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def evaluated(plan: Plan, ray_cluster: None) -> Artifact:
    return build(make_context(plan, "evaluate-init"), evaluate)


def parts(artifact: Artifact) -> dict[str, bytes]:
    folder = artifact.location.local_path / "predictions"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def test_every_sample_is_predicted_once_and_scored(evaluated: Artifact) -> None:
    predictions = [
        from_row(row)
        for path in sorted((evaluated.location.local_path / "predictions").rglob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    wanted = [sample(source, n).key for source in SOURCES for n in range(PER_SOURCE)]
    assert sorted(p.key for p in predictions) == sorted(wanted)
    broken = {p.key for p in predictions if p.failure}
    assert broken == {f"{source}/{BROKEN}" for source in SOURCES}
    assert all("broken.mp4" in str(p.failure) and "/" not in str(p.failure) for p in predictions if p.failure)
    scores = pq.read_table(evaluated.location.local_path / "scores.parquet").to_pylist()
    assert {row["key"] for row in scores} == set(wanted)
    videos = {
        sample(source, n).key: sample(source, n).video.sha256 for source in SOURCES for n in range(PER_SOURCE)
    }
    assert all(row["video"] == videos[row["key"]] != "" for row in scores)
    content = json.loads((evaluated.location / "metrics.json").read_bytes())
    for source in SOURCES:
        assert content["benchmarks"][source]["samples"] == PER_SOURCE
        assert sum(content["benchmarks"][source]["failures"].values()) >= 1


def test_mlflow_has_the_metrics(plan: Plan, evaluated: Artifact) -> None:
    found = tracking.history(plan, evaluated.record.fingerprint)
    assert found["bench/mevis/J_F"] == [(0, pytest.approx(_metric(evaluated, "bench/mevis", "J&F")))]


def test_what_is_stored_is_not_predicted_again(plan: Plan, evaluated: Artifact) -> None:
    """Two parts are lost; only they are made again, and all comes out as before."""
    folder = evaluated.location.local_path / "predictions"
    before = parts(evaluated)
    times = {name: (folder / name).stat().st_mtime_ns for name in before}
    lost = sorted(before)[1:3]
    for name in lost:
        (folder / name).unlink()
    again = build(make_context(plan, "evaluate-init"), evaluate)
    assert again.record.digest == evaluated.record.digest
    remade = {name for name in before if (folder / name).stat().st_mtime_ns != times[name]}
    assert remade == set(lost)


def test_report(plan: Plan, evaluated: Artifact) -> None:
    made = build(make_context(plan, "report"), report)
    text = (made.location / "table.txt").read_text()
    assert "before training" in text
    assert all(source in text for source in SOURCES)
    page = (made.location / "report.html").read_text()
    assert (
        page.count("<article") == 2 * 4 + 2 * 2
    )  # two samples each, and two of each of UFVideo-Bench's tasks
    assert page.count("data:image/jpeg") > 12
    assert str(plan.storage.root) not in page.split('id="provenance"')[0]


@pytest.mark.slow
def test_predictions_of_another_checkpoint_are_made_again(plan: Plan, evaluated: Artifact) -> None:
    from tiny_bench import finished

    folder = Path(plan.storage.root).parent / "other"
    shutil.copytree(Path(plan.storage.root).parent / "checkpoint", folder)
    before = parts(evaluated)
    finished(plan, "init", folder, "checkpoint-2")
    again = build(make_context(plan, "evaluate-init"), evaluate)
    assert parts(again).keys() == before.keys()
    assert all(content != before[name] for name, content in parts(again).items())
    assert again.record.digest != evaluated.record.digest


def fragile() -> type:
    """A class made in a function travels to the actor by value: actors cannot import test modules."""

    class Fragile:
        """An actor that dies over job 2 the first times that it meets it."""

        def __init__(self, folder: str, deaths: int) -> None:
            self.folder, self.deaths = Path(folder), deaths

        def run(self, chunk: Chunk) -> int:
            import os

            if chunk.number == 2:
                met = len(list(self.folder.iterdir()))
                (self.folder / str(met)).touch()
                if met < self.deaths:
                    os._exit(1)
            return chunk.number

    return Fragile


@pytest.mark.parametrize("deaths", [1, 9])
def test_a_dead_actor_is_replaced_but_not_for_ever(tmp_path: Path, ray_cluster: None, deaths: int) -> None:
    import ray

    jobs = [Chunk(source="s", number=n, rows=(n,), keys=(f"k{n}",)) for n in range(4)]
    found: list[int] = []

    def go() -> None:
        run_on_actors(
            jobs,
            count=2,
            spawn=lambda: ray.remote(fragile()).options(num_cpus=0.5).remote(str(tmp_path), deaths),
            submit=lambda actor, chunk: actor.run.remote(chunk),
            done=lambda chunk, result: found.append(result),
        )

    if deaths == 1:
        go()
        assert sorted(found) == [0, 1, 2, 3]
    else:
        with pytest.raises(RuntimeError, match="k2"):
            go()
        assert len(list(tmp_path.iterdir())) == 3


def _metric(artifact: Artifact, benchmark: str, name: str) -> float:
    rows = json.loads((artifact.location / "metrics.json").read_bytes())["metrics"]
    return next(
        r["value"] for r in rows if (r["benchmark"], r["category"], r["metric"]) == (benchmark, "", name)
    )
