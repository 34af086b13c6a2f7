"""MLflow against an SQLite file, and against a real server process."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.jobs import metric_queue
from pipeline.jobs.logged_values import flatten, plan_text
from pipeline.jobs.mlflow_store import tracking_uri
from pipeline.jobs.tracking import Run, history, start_run
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def plan(plan_file: Path) -> Plan:
    return load_plan(str(plan_file))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite file for the tests that need no file of their own: MLflow takes seconds to create one."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


@pytest.fixture
def shared(plan_file: Path, database: str, request: pytest.FixtureRequest) -> Plan:
    """The plan with that file, and an experiment named after the test."""
    sets = [f"tracking.uri={database}", f"tracking.experiment={request.node.name}"]
    return load_plan(str(plan_file), sets)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on loopback."""
    home = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{home}/server.db",
        "--artifacts-destination",
        str(home / "files"),
    ]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    log = open(home / "log", "w")  # noqa: SIM115
    process = subprocess.Popen(
        command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(480):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2)
            break
        except OSError:
            assert process.poll() is None, (home / "log").read_text()
            time.sleep(0.5)
    yield url
    os.killpg(process.pid, 9)
    process.wait()


def log_run(run: Run, plan: Plan, file: Path) -> None:
    file.write_text("content")
    with run:
        run.log_params({"model": {"width": 4, "depth": 2}, "password": "hush", "text": "x" * 9000})
        for step in range(50):
            run.log_metrics({"loss": 1 / (step + 1), "lr": 0.1}, step)
        run.log_dataset("talk", "d" * 64, "s3://me:hush@bucket/shards")
        run.log_artifact(file)


def check_run(plan: Plan, run: Run) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(plan))
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params["model.width"] == "4"
    assert len(found.data.params["text"]) == 6000
    assert found.data.tags["ufvideo.fingerprint"] == "f" * 64
    assert found.data.tags["dataset.talk"] == "d" * 64
    assert {"ufvideo.code", "ufvideo.source_digest"} <= set(found.data.tags)
    assert found.inputs is not None
    data = found.inputs.dataset_inputs[0].dataset
    assert (data.name, data.digest) == ("talk", "d" * 36)
    assert sorted(f.path for f in client.list_artifacts(run.run_id)) == ["note.txt", "plan.yaml"]
    assert "hush" not in repr(found.to_dictionary())
    assert history(plan, "f" * 64)["loss"] == [(s, 1 / (s + 1)) for s in range(50)]
    assert history(plan, "e" * 64) == {}


def test_a_run_is_logged_to_sqlite_and_resumed_by_fingerprint(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(plan) == f"sqlite:///{tmp_path}/store/mlflow.db"
    assert history(plan, "f" * 64) == {}
    run = start_run(plan, "stage1", "f" * 64)
    log_run(run, plan, tmp_path / "note.txt")
    check_run(plan, run)
    assert not (tmp_path / "mlruns").exists(), "something was written outside the storage root"

    again = start_run(plan, "stage1", "f" * 64)
    with again:
        again.log_params({"model": {"width": 5}})
        again.log_metrics({"loss": 9.0}, 49)
        again.log_metrics({"loss": 8.0}, 50)
    assert again.run_id == run.run_id, "the same fingerprint must resume the same run"
    assert history(plan, "f" * 64)["loss"][-2:] == [(49, 9.0), (50, 8.0)]
    with start_run(plan, "stage1", "f" * 64, resume=False) as fresh:
        assert fresh.run_id != run.run_id


def test_a_database_that_would_be_lost_is_refused(plan_file: Path, monkeypatch: pytest.MonkeyPatch):
    far, cluster = "storage.root=s3://bucket/x", "ray.address=auto"
    for sets in ([far], [cluster], [far, cluster, "tracking.uri=http://host:5000"]):
        assert tracking_uri(load_plan(str(plan_file), sets))
    with pytest.raises(UserError, match="would be in a temporary folder"):
        tracking_uri(load_plan(str(plan_file), [far, cluster]))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri(load_plan(str(plan_file), [far, cluster])) == "http://host:5000"


def test_a_run_is_logged_to_a_real_server(plan_file: Path, tmp_path: Path, server: str):
    plan = load_plan(str(plan_file), [f"tracking.uri={server}", "tracking.experiment=mine"])
    run = start_run(plan, "stage1", "f" * 64)
    log_run(run, plan, tmp_path / "note.txt")
    check_run(plan, run)
    assert not (tmp_path / "store/mlflow.db").exists()


def test_logging_metrics_does_not_block_training(shared: Plan):
    with start_run(shared, "stage1", "a" * 64) as run:
        begun = time.thread_time()
        for step in range(2000):
            run.log_metrics({"loss": 1.0}, step)
        assert time.thread_time() - begun < 1.0
    assert len(history(shared, "a" * 64)["loss"]) == 2000


def test_a_metric_that_mlflow_rejects_is_reported_at_once(shared: Plan, monkeypatch: pytest.MonkeyPatch):
    """It is not tried again, for which this test would wait a day."""
    monkeypatch.setattr(metric_queue, "LAST_TRIES_S", (0.0, 86400.0))
    run = start_run(shared, "stage1", "b" * 64)
    with pytest.raises(UserError, match=r"tracking.uri: sqlite.*does not take the last metrics"), run:
        run.log_metrics({"bad\nname;": 1.0}, 0)


def test_an_error_ends_the_run_as_failed(shared: Plan):
    from mlflow.tracking import MlflowClient

    run = start_run(shared, "stage1", "c" * 64)
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0
    assert MlflowClient(tracking_uri=tracking_uri(shared)).get_run(run.run_id).info.status == "FAILED"


def test_a_run_that_has_not_started_can_be_pickled(plan: Plan):
    copy = pickle.loads(pickle.dumps(start_run(plan, "stage1", "d" * 64)))
    assert (copy.step, copy.fingerprint, copy.plan) == ("stage1", "d" * 64, plan)


def test_a_server_that_does_not_answer_is_a_user_error(plan_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    plan = load_plan(str(plan_file), ["tracking.uri=http://127.0.0.1:9"])
    with pytest.raises(UserError, match=r"tracking.uri: MLflow at http://127.0.0.1:9 refuses"):
        start_run(plan, "stage1", "f" * 64).log_metrics({"loss": 1}, 0)


def test_plans_are_logged_flat_and_with_resolved_values(plan: Plan):
    flat = flatten(plan.model_dump())
    assert flat["stages.0.optimizer.lr"] == 2e-5
    assert "max_text_tokens: 2048" in plan_text(plan)
    assert "vocab_size" in plan_text(plan)


def test_the_run_of_a_step_lasts_from_its_start_to_its_end(shared: Plan, capsys: pytest.CaptureFixture[str]):
    """Catches steps without a run, and runs that last only as long as it takes to log them."""
    from pipeline.jobs.step import StepContext, StepResult, build, make_context
    from pipeline.jobs.tracked import tracked

    def slow(context: StepContext) -> StepResult:
        time.sleep(1.2)
        return StepResult("d1", {"videos": 3, "sources": {"a/b": {"kept": 7}}, "name": "x", "whole": True})

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(shared))
    for _ in range(2):
        made = build(make_context(shared, "corpora"), tracked(slow))
    runs = client.search_runs([client.get_experiment_by_name(shared.tracking.experiment).experiment_id])
    assert len(runs) == 2, "each build must have its run"
    for run in runs:
        assert run.info.status == "FINISHED"
        seconds = (run.info.end_time - run.info.start_time) / 1000
        assert 1.2 <= seconds <= made.record.seconds + 1, "the time that MLflow takes to open must not count"
        assert run.data.metrics == {"videos": 3.0, "sources.a/b.kept": 7.0}
        assert run.data.tags["digest"] == "d1"
        assert run.data.tags["artifact"] == made.location.uri
        assert run.data.tags["ufvideo.step"] == "corpora"
        assert run.data.params["demo.train_videos"] == "4"
    build(make_context(shared, "prepare"), tracked(slow))
    latest = client.search_runs([runs[0].info.experiment_id], max_results=1)[0]
    assert [(i.dataset.name, i.dataset.digest) for i in latest.inputs.dataset_inputs] == [("corpora", "d1")]
    assert capsys.readouterr().err == ""


def test_an_artifact_is_kept_although_mlflow_cannot_be_opened(
    plan: Plan, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    from pipeline.jobs.step import StepResult, build, make_context
    from pipeline.jobs.tracked import tracked

    (tmp_path / "file").write_text("")
    tracking = plan.tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/file/mlflow.db"})
    plan = plan.model_copy(update={"tracking": tracking})
    made = build(make_context(plan, "corpora"), tracked(lambda context: StepResult("d", {})))
    assert made.record.digest == "d"
    assert "Note: corpora is made, but" in capsys.readouterr().err
