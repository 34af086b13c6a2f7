"""A small demo plan from the start to the table, with every artifact on S3."""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts.record import Artifact
from pipeline.artifacts.survey import PlanStatus, survey
from pipeline.dataset.reader import ShardReader
from pipeline.jobs.spool import Spool
from pipeline.plan.data import Use
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location
from tests.integration.mini import STEPS, read_mini, ufvideo, write_mini

STEPS_OF_PLAN = 8  # corpora, prepare, init, two stages, three evaluations, and then the report
AGAIN_CPU_S = 5
# How the demo corpora describe each record that they damage, and the reason of its rejection.
REASONS = {
    "the video cannot be decoded": "media_unreadable",
    "the video file is missing": "media_missing",
    "the question has no answer": "turns",
    "the mask is not as large as the video": "mask_size",
    "two <region>, one annotation": "region_count",
    "its mask is not in mask_dict.json": "mask_missing",
    "two placeholders, one value": "placeholders",
    "a fraction above 1": "span_outside",
    "tgt does not hold one pair per <TIME_STAMP>": "placeholders",
    "the span lies past the end of the video": "span_outside",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_plan_runs_from_the_start_to_the_table_on_s3(s3_bucket: str, tmp_path: Path) -> None:
    root = f"{s3_bucket}/mini"
    path = write_mini(tmp_path, root)
    done = ufvideo(tmp_path, "run", path.name, timeout_s=840)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    plan = read_mini(path)
    plan_status = survey(plan)
    assert len(plan_status.specs) == STEPS_OF_PLAN + 1
    assert_result_is_shown(done.stdout, artifact_of(plan_status, "report"), plan)
    assert_every_record_is_accounted_for(
        artifact_of(plan_status, "prepare").location, artifact_of(plan_status, "corpora").location
    )
    assert_evaluations_are_complete(plan_status, plan)
    for stage in plan.stages:
        assert_run_is_tracked(plan, artifact_of(plan_status, stage.name), artifact_of(plan_status, "prepare"))
    assert_everything_is_on_s3(tmp_path, Location.parse(root))

    before = listing(Location.parse(root))
    begun = os.times()
    again = ufvideo(tmp_path, "run", path.name)
    spent = os.times()
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"mini: all {STEPS_OF_PLAN + 1} steps are done, nothing to do.\n")
    assert (artifact_of(plan_status, "report").location / "table.txt").read_text() in again.stdout
    assert listing(Location.parse(root)) == before
    seconds = spent.children_user + spent.children_system - begun.children_user - begun.children_system
    assert seconds < AGAIN_CPU_S, "CPU seconds, so that a busy machine does not fail the test"


def artifact_of(plan_status: PlanStatus, step: str) -> Artifact:
    found = plan_status.artifacts[step]
    assert found is not None, step
    return found


def assert_result_is_shown(out: str, report: Artifact, plan: Plan) -> None:
    """The table is printed; every benchmark and checkpoint is in it, and on the page."""
    assert plan.evaluation is not None
    table = (report.location / "table.txt").read_text()
    assert table in out
    for benchmark in plan.evaluation.benchmarks:
        assert benchmark.source in table
    assert all(word in table for word in ("before", "stage 1", "stage 2")), "a column for each checkpoint"
    page = report.location / "report.html"
    assert f"Page:    {page.uri}\n" in out
    html = page.read_text()
    assert all(benchmark.source in html for benchmark in plan.evaluation.benchmarks)
    assert html.rstrip().endswith("</html>")
    assert '<svg class="curve"' in html, "curves of the losses"


def assert_every_record_is_accounted_for(prepared: Location, corpora: Location) -> None:
    """in = kept + rejected + not selected, and rejected is exactly what was damaged on purpose."""
    reader = ShardReader(prepared)
    reader.verify()
    for entry in reader.manifest.sources:
        assert entry.read == entry.kept + entry.rejected + entry.not_selected, entry.name
        assert entry.kept == reader.count(entry.name) > 0, entry.name
        assert entry.rejected == sum(entry.rejects.values()), entry.name
    summary: dict[str, Any] = json.loads((corpora / "corpora_summary.json").read_bytes())["corpora"]
    records = sum(count for counts in summary.values() for count in counts["records"].values())
    assert sum(entry.read for entry in reader.manifest.sources) == records, "the plan reads every file once"
    damaged = Counter(
        (item["file"].rpartition("/")[2], REASONS[item["why"]])
        for counts in summary.values()
        for item in counts["damaged"]
        if item["reject"]
    )
    assert damaged
    assert Counter((row["file"], row["reason"]) for row in reader.rejects().to_pylist()) == damaged


def assert_evaluations_are_complete(plan_status: PlanStatus, plan: Plan) -> None:
    """Every benchmark sample of the dataset has one prediction and one score for each checkpoint."""
    assert plan.evaluation is not None
    reader = ShardReader(artifact_of(plan_status, "prepare").location)
    benchmarks = plan.evaluation.benchmarks
    samples = sum(min(reader.count(b.source), b.limit or sys.maxsize) for b in benchmarks)
    for checkpoint in plan.evaluation.checkpoints:
        summary = artifact_of(plan_status, f"evaluate-{checkpoint}").record.summary
        assert summary["samples"] == samples
        # An untrained model gives unusable answers, but every video must have been read.
        reasons = {reason for count in summary["benchmarks"].values() for reason in count["failures"]}
        assert not [r for r in reasons if r.startswith("not readable") or r.endswith("is missing")]
    digests = {artifact_of(plan_status, name).record.digest for name in ("init", "stage1", "stage2")}
    assert len(digests) == 3, "training changed the weights"


def assert_run_is_tracked(plan: Plan, stage: Artifact, dataset: Artifact) -> None:
    """One finished MLflow run with the losses of each step, and the dataset by its digest."""
    from mlflow.tracking import MlflowClient

    assert Spool.of(plan).files() == [], "everything was sent before the command ended"
    client = MlflowClient(tracking_uri=plan.tracking.uri)
    experiment = client.get_experiment_by_name(plan.name)
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], f"tags.`ufvideo.fingerprint` = '{stage.record.fingerprint}'"
    )
    assert [run.info.status for run in found] == ["FINISHED"]
    (run,) = found
    for loss in ("loss/total", "loss/text", "loss/bce", "loss/dice"):
        points = client.get_metric_history(run.info.run_id, loss)
        assert sorted(point.step for point in points) == list(range(STEPS)), loss
        assert all(math.isfinite(point.value) for point in points), loss
    assert run.inputs is not None
    inputs = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
    assert inputs["prepare"].digest == dataset.record.digest[:36]
    assert dataset.location.uri in inputs["prepare"].source
    for source in ShardReader(dataset.location).manifest.sources:
        logged = inputs.get(source.name)
        assert (logged is not None) == (source.use is Use.TRAIN), source.name
        assert logged is None or logged.digest == source.identity[:36]
    assert run.data.tags["dataset.prepare"] == dataset.record.digest
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert (parent.info.status, parent.data.tags["ufvideo.plan"]) == ("FINISHED", plan.name)
    assert "stage2/mevis_valid_u/J_and_F" in parent.data.metrics


def assert_everything_is_on_s3(folder: Path, root: Location) -> None:
    """Beside the plan are only the cache, the tracking database and the logs; no saved state is left."""
    assert {p.name for p in folder.iterdir()} == {"mini.yaml", "cache", "mlflow.db", "runs"}
    assert {p.name for p in (folder / "runs" / "mini").iterdir()} <= {"logs", "mlflow-files"}
    names = [place.uri.removeprefix(root.uri) for place in root.list(recursive=True)]
    assert sum(name.endswith("/record.json") for name in names) == STEPS_OF_PLAN + 1
    assert not [name for name in names if "/run/" in name or "/.tmp-" in name]


def listing(root: Location) -> list[tuple[str, str]]:
    return [(place.uri, place.stat_key()) for place in root.list(recursive=True)]
