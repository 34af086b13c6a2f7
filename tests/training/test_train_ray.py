"""Ray Train with two workers and DeepSpeed ZeRO-2, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from killable import STEPS, kill_the_job_after, plan_with_init
from tiny_corpus import stage

from pipeline.artifacts.checkpoint import start_config
from pipeline.artifacts.curves import CURVES, by_metric, read_curves
from pipeline.artifacts.record import Artifact, load_artifact
from pipeline.artifacts.survey import survey
from pipeline.errors import UserError
from pipeline.jobs.mlflow_store import history, tracking_uri
from pipeline.jobs.sender import send_now
from pipeline.jobs.step import build, make_context
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location
from training import run
from training.loop.reporter import LocalReporter
from training.loop.train import Job, train
from training.stage import driver


def losses_of_one_worker(plan: Plan, folder: Path) -> list[float]:
    """The losses of the same stage on a single worker, with the same passes and no reduction."""
    config = stage(
        steps=STEPS,
        global_batch=4,
        layout={"micro_batch": 1, "save_every": 100},
        mixture=plan.stages[0].mixture,
    )
    plan_status = survey(plan)
    start = plan_status.folder("init")
    job = Job(
        stage=config,
        model=start_config(start, plan.model.resolved, "one"),
        seed=plan.seed,
        data=plan_status.folder("prepare"),
        start=start,
        out=Location.parse(folder / "one_worker"),
    )
    reporter = LocalReporter(folder / "states")
    train(job, reporter)
    return [reporter.rows[step]["loss/total"] for step in range(STEPS)]


def run_stage(plan: Plan) -> Artifact:
    """The stage's artifact, made in this process."""
    return build(make_context(plan, "one"), run.stage)


def wait_for(path: Path) -> None:
    """Waits until a file exists."""
    deadline = time.monotonic() + 200
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)


def kill_a_worker_after_the_first_checkpoint(out: Path) -> None:
    """SIGKILL one training worker of the Ray that this process started, and of no other."""
    wait_for(out / "run" / "checkpoint_manager_snapshot.json")
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"RayTrainWorker" in (entry / "cmdline").read_bytes():
                raylet = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                owner = int(Path(f"/proc/{raylet}/stat").read_text().rpartition(")")[2].split()[1])
                if owner == os.getpid():
                    os.kill(int(entry.name), signal.SIGKILL)
                    return
        except (OSError, ValueError):
            continue
    raise AssertionError("no worker to kill")


def assert_same(one: Artifact, other: Artifact) -> None:
    """Same weights, same last loss, no states left."""
    assert one.record.digest == other.record.digest
    assert one.record.summary["last"]["loss/total"] == other.record.summary["last"]["loss/total"]
    assert not (one.location / "run").exists()
    done = json.loads((one.location / "training.json").read_text())
    assert done["quarantined"] == []
    assert [m["realised"] for m in done["mixture"]] == [8, 8, 8, 8]


@pytest.mark.slow
def test_a_killed_worker_does_not_change_the_weights(ray_cluster: None, tmp_path: Path) -> None:
    whole = plan_with_init(tmp_path / "whole")
    uninterrupted = run_stage(whole)
    send_now(whole)
    curves = history(whole, uninterrupted.record.fingerprint)
    assert [step for step, _ in curves["loss/total"]] == list(range(STEPS))
    assert {
        "loss/text",
        "loss/bce",
        "loss/dice",
        "lr",
        "grad_norm",
        "samples_per_s",
        "tokens_per_s",
        "data_wait_share",
    } <= set(curves)
    # Samples with and without masks and regions alternate between the two workers, so their graphs differ; a
    # reduction that mixed up parameters would change this curve.
    assert [loss for _, loss in curves["loss/total"]] == pytest.approx(
        losses_of_one_worker(whole, tmp_path), rel=1e-3
    )

    killed = plan_with_init(tmp_path / "killed", max_failures=1)
    out = survey(killed).folder("one").local_path
    killer = threading.Thread(target=kill_a_worker_after_the_first_checkpoint, args=(out,), daemon=True)
    killer.start()
    again = run_stage(killed)
    killer.join()
    assert again.record.summary["resumed_at"] >= 2
    assert_same(again, uninterrupted)


@pytest.mark.slow
def test_a_killed_job_resumes_to_the_same_weights(ray_cluster: None, tmp_path: Path) -> None:
    uninterrupted = run_stage(plan_with_init(tmp_path / "whole"))
    killed = plan_with_init(tmp_path / "killed")
    kill_the_job_after(1, killed, tmp_path / "killed" / "plan.yaml")
    assert load_artifact(survey(killed).folder("one")) is None
    again = run_stage(killed)
    assert again.record.summary["resumed_at"] >= 2
    assert_same(again, uninterrupted)
    assert_no_step_is_missing_or_twice(killed, again)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stage_goes_on_with_other_numbers_of_workers(ray_cluster: None, tmp_path: Path) -> None:
    """Two workers, then one, then two: the same batches, and losses that differ by rounding."""
    steps = 10
    whole = run_stage(plan_with_init(tmp_path / "whole", steps=steps))
    plan = plan_with_init(tmp_path / "moved", steps=steps)
    plan_file = tmp_path / "moved" / "plan.yaml"
    first = kill_the_job_after(1, plan, plan_file)
    assert len(first) < steps // 2 - 1, "killed too late"
    alone = tmp_path / "moved" / "alone.yaml"
    content = yaml.safe_load(plan_file.read_text())
    content["stages"][0]["layout"]["workers"] = 1
    alone.write_text(yaml.safe_dump(content))
    kill_the_job_after(len(first) + 1, plan, alone)
    assert "begun with 2 workers, goes on with 1" in alone.with_suffix(".log").read_text()
    again = run_stage(plan)
    assert again.record.summary["resumed_at"] == 2 * (len(first) + 1)
    expected, actual = (
        dict(by_metric(read_curves(made.location / CURVES))["loss/total"]) for made in (whole, again)
    )
    assert actual == pytest.approx(expected, rel=1e-4)
    assert list(actual) == list(range(steps))


def assert_no_step_is_missing_or_twice(plan: Plan, made: Artifact) -> None:
    """In MLflow, although the driver was killed with rows that it had not sent."""
    from mlflow.tracking import MlflowClient

    outcome = send_now(plan)
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 0, "")
    client = MlflowClient(tracking_uri(plan))
    experiment = client.get_experiment_by_name(plan.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`ufvideo.step` = 'one'")
    assert [run.info.status for run in runs] == ["FINISHED"], "it goes on in the same run"
    for name in ("loss/total", "step_s"):
        points = client.get_metric_history(runs[0].info.run_id, name)
        assert [point.step for point in points] == list(range(STEPS)), name
    assert (
        history(plan, made.record.fingerprint)["loss/total"]
        == by_metric(read_curves(made.location / CURVES))["loss/total"]
    )


@pytest.mark.slow
def test_a_damaged_newest_state_is_passed_over(
    ray_cluster: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Truncated after everything was killed; the next run goes on from the state before."""
    uninterrupted = run_stage(plan_with_init(tmp_path / "whole"))
    killed = plan_with_init(tmp_path / "killed")
    states = kill_the_job_after(2, killed, tmp_path / "killed" / "plan.yaml")
    out = survey(killed).folder("one").local_path
    part = next((out / "run" / states[-1]).rglob("zero_pp_rank_1*optim_states.pt"))
    part.write_bytes(part.read_bytes()[:1000])
    capfd.readouterr()
    again = run_stage(killed)
    assert again.record.summary["resumed_at"] == 2 * (len(states) - 1)
    assert_same(again, uninterrupted)
    said = capfd.readouterr().out
    assert f"{states[-1]} is damaged: " in said
    assert "has 1,000 of " in said
    assert f"{states[-2]}\n" in said


@pytest.mark.slow
def test_the_death_of_the_mailbox_loses_no_row_and_no_end(ray_cluster: None, tmp_path: Path) -> None:
    """Killed while it holds rows, and without a saved state to go back to."""
    plan = plan_with_init(tmp_path / "plan", save_every=100)
    killed: list[int] = []

    def kill_it() -> None:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not killed:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "RayTrainWorker" in " ".join(process.cmdline()):
                        mailboxes = [p for p in processes() if "ray::Mailbox" in " ".join(p.cmdline())]
                        for one in mailboxes:
                            one.kill()
                            killed.append(one.pid)
            time.sleep(0.05)

    thread = threading.Thread(target=kill_it, daemon=True)
    thread.start()
    made = run_stage(plan)
    thread.join()
    assert len(killed) == 1
    assert made.record.summary["resumed_at"] == 0
    assert_no_step_is_missing_or_twice(plan, made)


def processes() -> list[psutil.Process]:
    """Those that this one started."""
    return psutil.Process().children(recursive=True)


@pytest.mark.slow
def test_a_mistake_ends_the_stage_at_once(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four attempts at a loss that is not finite would each report step 0."""
    plan = plan_with_init(tmp_path / "plan", max_failures=3)
    optimizer = plan.stages[0].optimizer.model_copy(update={"lr": 1e30, "clip": 1e30})
    plan = plan.model_copy(update={"stages": (plan.stages[0].model_copy(update={"optimizer": optimizer}),)})
    steps: list[int] = []
    receive = driver.Driver.receive

    def received(self: driver.Driver, kind: str, item: Any) -> None:
        if kind == "row":
            steps.append(item.step)
        receive(self, kind, item)

    monkeypatch.setattr(driver.Driver, "receive", received)
    with pytest.raises(UserError, match="the loss is not finite any more"):
        run_stage(plan)
    assert steps == sorted(set(steps)), "no step was reported twice"
    assert steps[0] == 0
