"""Stages that were killed between two actions: what resumes, what starts again, and what remains."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from killable import empty_sources
from tiny_corpus import stage, write_dataset

from pipeline.artifacts.curves import CURVES, CurveRow, by_metric, read_curves
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import Artifact, ArtifactRecord, commit_artifact, load_artifact, now
from pipeline.artifacts.survey import survey
from pipeline.jobs import step
from pipeline.jobs.mlflow_store import history, tracking_uri
from pipeline.jobs.sender import send_now
from pipeline.jobs.step import build, make_context
from pipeline.jobs.tracking import Run
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from pipeline.plan.training import MixtureEntry
from pipeline.records.version import SCHEMA_VERSION
from pipeline.storage.location import Location
from training import run
from training.loop.callback import StageRun
from training.loop.metrics import Metrics
from training.loop.reporter import LocalReporter
from training.loop.train import Job, train
from training.stage.driver import Driver
from training.stage.stage_end import StageEnd, write_end
from training.stage.unfinished import StageStart, UnfinishedStage

BEGUN = StageStart(workers=2, data="d1", start="s1", steps=6)


def begun_with(**values: Any) -> StageStart:
    return dataclasses.replace(BEGUN, **values)


def killed_stage(folder: Path) -> UnfinishedStage:
    """The unfinished stage that a kill after the first saved state leaves."""
    half = UnfinishedStage(Location.parse(folder), "one")
    assert half.open(BEGUN) is None
    (folder / "run").mkdir()
    (folder / "run" / "state").write_text("saved")
    return half


def quarantine_row(step: int, key: str = "qa/2", **more: Any) -> dict[str, Any]:
    return {
        "step": step,
        "source": "qa",
        "key": key,
        "epoch": 0,
        "reason": "cut",
        "substitute": "qa/1",
    } | more


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (begun_with(data="d2"), "the prepared data"),
        (begun_with(start="s2"), "the checkpoint to start from"),
        (begun_with(steps=7), "its length"),
        (begun_with(data="d2", workers=3), "the prepared data"),
    ],
)
def test_with_other_inputs_the_stage_starts_again_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: StageStart, message: str
) -> None:
    killed_stage(tmp_path).quarantine([quarantine_row(0)])
    half = UnfinishedStage(Location.parse(tmp_path), "one")
    assert half.open(other) is None
    assert not (tmp_path / "run").exists()
    assert half.quarantined == []
    assert f"stage one: begins again: {message} changed since it stopped" in capsys.readouterr().out
    (tmp_path / "run").mkdir()
    UnfinishedStage(Location.parse(tmp_path), "one").open(other)
    assert (tmp_path / "run").exists()


def test_with_the_same_inputs_the_stage_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed_stage(tmp_path)
    assert UnfinishedStage(Location.parse(tmp_path), "one").open(BEGUN) is None
    assert (tmp_path / "run" / "state").read_text() == "saved"
    assert capsys.readouterr().out == ""
    UnfinishedStage(Location.parse(tmp_path), "one").open(begun_with(workers=3))
    assert capsys.readouterr().out == "stage one: begun with 2 workers, goes on with 3\n"
    assert (tmp_path / "run" / "state").exists()


def test_a_finished_training_of_other_inputs_is_not_reused(tmp_path: Path) -> None:
    killed_stage(tmp_path)
    end = StageEnd(digest="w", resumed_at=0, last={"lr": 0.1})
    write_end(Location.parse(tmp_path), end)
    assert UnfinishedStage(Location.parse(tmp_path), "one").open(BEGUN) is None  # its weights are not there
    (tmp_path / "model").mkdir()
    assert UnfinishedStage(Location.parse(tmp_path), "one").open(BEGUN) == end
    assert UnfinishedStage(Location.parse(tmp_path), "one").open(begun_with(start="s2")) is None
    assert UnfinishedStage(Location.parse(tmp_path), "one").open(begun_with(start="s2")) is None


def test_quarantine_survives_a_kill_and_repeated_steps_are_listed_once(tmp_path: Path) -> None:
    half = killed_stage(tmp_path)
    half.quarantine([quarantine_row(0), quarantine_row(3)])
    half.quarantine([quarantine_row(4, "qa/3")])
    again = UnfinishedStage(Location.parse(tmp_path), "one")
    again.open(BEGUN)
    again.quarantine([quarantine_row(3), quarantine_row(4, "qa/3"), quarantine_row(5)])
    assert [(r["step"], r["key"]) for r in again.quarantined] == [
        (0, "qa/2"),
        (3, "qa/2"),
        (4, "qa/3"),
        (5, "qa/2"),
    ]


# The stage itself, with its worker in this process instead of below Ray.


def write_plan(folder: Path) -> Plan:
    config = stage(steps=2, mixture={"qa": MixtureEntry()}, layout={"save_every": 1})
    path = folder / "plan.yaml"
    plan = {
        "name": "tiny",
        "storage": {"root": str(folder / "runs")},
        "model": {"preset": "toy", "tokenizer": {"vocab_size": 400}},
        "data": {"sources": empty_sources(folder, folder)},
        "stages": [config.model_dump(mode="json", exclude_none=True)],
    }
    path.write_text(yaml.safe_dump(plan))
    return load_plan(str(path))


def put_artifact(plan: Plan, step: str, source: Path, digest: str) -> None:
    """Commits a finished artifact of another step."""
    plan_status = survey(plan)
    out = plan_status.folder(step)
    out.put_dir(source)
    record = ArtifactRecord(
        step=step,
        kind=step,
        fingerprint=plan_status.fingerprints[step],
        digest=digest,
        schema_version=SCHEMA_VERSION,
        code=code_version(),
        inputs={},
        config={},
        summary={},
        created=now(),
        seconds=0.0,
    )
    commit_artifact(out, record)


@pytest.fixture
def plan(tmp_path: Path, start: Location) -> Plan:
    made = write_plan(tmp_path)
    put_artifact(made, "prepare", write_dataset(tmp_path / "corpus", broken=(2,)).local_path, "data")
    put_artifact(made, "init", start.local_path, "start")
    return made


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Digests of the trained models, one for each training."""
    made: list[str] = []

    def in_process(
        job: Job, ray_config: Any, need: Any, total: int, tracker: Run, half: UnfinishedStage
    ) -> None:
        reporter = LocalReporter(tmp_path / "states" / str(len(made)))
        done = train(job, reporter)
        driver = Driver(tracker, half)
        for number, values in sorted(reporter.rows.items()):
            driver.receive("row", CurveRow(number, time.time(), values))
        driver.receive("quarantined", reporter.quarantined)
        (job.out / "run" / "state").write_text("saved")
        made.append(done.digest)

    monkeypatch.setattr(run, "train_on_ray", in_process)
    return made


def make(plan: Plan) -> Artifact:
    return build(make_context(plan, "one"), run.stage)


def curves(plan: Plan, made: Artifact) -> dict[str, list[tuple[int, float]]]:
    """What MLflow has of a stage, once everything is sent."""
    outcome = send_now(plan)
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 0, "")
    return history(plan, made.record.fingerprint)


class Killed(BaseException):
    """In place of SIGKILL: nothing catches it, and nothing cleans up on the disk."""


def raise_killed(*_: Any, **__: Any) -> Any:
    raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("where", ["record", "states"])
def test_a_kill_during_the_clean_up_does_not_repeat_the_training(
    plan: Plan, trainings: list[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = survey(plan).folder("one").local_path
    with monkeypatch.context() as patch:
        if where == "record":
            patch.setattr(step, "commit_artifact", raise_killed)
        else:
            patch.setattr(UnfinishedStage, "drop_states", raise_killed)
        with pytest.raises(Killed):
            make(plan)
    assert load_artifact(survey(plan).folder("one")) is None
    assert (folder / "run").exists() == (where == "states")
    again = make(plan)
    assert trainings == [again.record.digest]
    assert again.record.summary["last"]["loss/total"] > 0
    assert sorted(os.listdir(folder)) == [CURVES, "model", "record.json", "tokenizer", "training.json"]
    assert [s for s, _ in curves(plan, again)["loss/total"]] == [0, 1]
    forced = make(plan)  # as with --force: finished artifacts do not count
    assert trainings == [again.record.digest, forced.record.digest]


@pytest.mark.slow
def test_a_changed_start_checkpoint_restarts_the_training(
    plan: Plan, trainings: list[str], monkeypatch: pytest.MonkeyPatch, start: Location
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(step, "commit_artifact", raise_killed)
        with pytest.raises(Killed):
            make(plan)
    put_artifact(plan, "init", start.local_path, "another")
    make(plan)
    assert len(trainings) == 2


@pytest.mark.slow
def test_rows_that_were_on_their_way_when_the_driver_died_are_not_missing(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The driver dies after the first saved state; of the rows before it, it has received none."""
    reporter = LocalReporter(tmp_path / "states")

    def dies(job: Job, ray_config: Any, need: Any, total: int, tracker: Run, half: UnfinishedStage) -> Any:
        train(job, reporter, stop_at=1)
        (job.out / "run" / "state").write_text("saved")
        raise Killed

    def resumes(job: Job, ray_config: Any, need: Any, total: int, tracker: Run, half: UnfinishedStage) -> Any:
        again = LocalReporter(tmp_path / "states")
        done = train(job, again)
        assert done.resumed_at == 1
        driver = Driver(tracker, half)
        driver.receive("earlier rows", again.earlier)
        for number, values in again.rows.items():
            driver.receive("row", CurveRow(number, time.time(), values))

    with monkeypatch.context() as patch:
        patch.setattr(run, "train_on_ray", dies)
        with pytest.raises(Killed):
            make(plan)
    monkeypatch.setattr(run, "train_on_ray", resumes)
    made = make(plan)
    logged = curves(plan, made)
    assert [step for step, _ in logged["loss/total"]] == [0, 1]
    assert by_metric(read_curves(made.location / CURVES)) == {
        name: points for name, points in logged.items() if name in reporter.rows[0]
    }


def test_curves_of_a_stage_of_an_older_version_have_no_file_in_its_states(tmp_path: Path) -> None:
    metrics = Metrics(LocalReporter(tmp_path), Location.parse(tmp_path))
    (tmp_path / "state").mkdir()
    metrics.on_start(StageRun(stage=stage(), model=None, rank=0, world=1, total_steps=4), tmp_path / "state")


def test_init_does_not_set_the_accelerator_of_later_stages(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DS_ACCELERATOR", raising=False)
    build(make_context(plan, "init"), run.init)
    assert "DS_ACCELERATOR" not in os.environ


def test_the_table_of_parts_is_printed_and_logged_before_the_first_step(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if the table is not printed, not sent to MLflow, or only after the training."""
    from mlflow.tracking import MlflowClient

    monkeypatch.setattr(run, "train_on_ray", raise_killed)
    with pytest.raises(Killed):
        make(plan)
    send_now(plan)
    heads = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("part ")]
    assert heads == [["part", "tensors", "parameters", "trainable", "share", "lr", "checkpointed"]]
    client = MlflowClient(tracking_uri=tracking_uri(plan))
    (experiment,) = (e for e in client.search_experiments() if e.name == plan.name)
    (logged,) = client.search_runs([experiment.experiment_id], "tags.`ufvideo.step` = 'one'")
    assert logged.info.status == "FAILED"
    values = logged.data.params
    assert int(values["parameters"]) > int(values["parameters.trainable"]) > 0
    assert (values["steps"], values["layout.workers"]) == ("2", "1")
    assert [f.path for f in client.list_artifacts(logged.info.run_id)] == ["parts.txt"]
