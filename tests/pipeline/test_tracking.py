"""MLflow against an SQLite file, and against a real server process that goes away and comes back."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts.survey import survey
from pipeline.canonical import digest
from pipeline.errors import UserError
from pipeline.jobs import sending, spool
from pipeline.jobs.logged_values import flatten, metric_name, metric_names, plan_params, plan_text
from pipeline.jobs.mlflow_store import client_of, history, tracking_uri
from pipeline.jobs.sender import Outcome, send_now
from pipeline.jobs.sending import send_leftovers, tracked_plan
from pipeline.jobs.spool import Spool
from pipeline.jobs.step import StepContext, StepResult, build, make_context
from pipeline.jobs.tracking import KILLED, Parent, PlanRun, Run, start_run
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location
from tests.pipeline.mlflow_server import MlflowServer


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("MLFLOW_TRACKING_URI", sending.SENDER):
        monkeypatch.delenv(name, raising=False)


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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server, which the first test that uses it has to start."""
    made = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield made
    made.kill()


def client(plan: Plan) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri(plan))


def runs_of(plan: Plan) -> list[Any]:
    """All runs of the plan's experiment, in the order of their start."""
    there = client(plan).get_experiment_by_name(plan.tracking.experiment or plan.name)
    return list(client(plan).search_runs([there.experiment_id], order_by=["attributes.start_time ASC"]))


def points(plan: Plan, run: Any, name: str) -> list[tuple[int, float]]:
    """Every point of a metric, repeated ones included."""
    return [(p.step, p.value) for p in client(plan).get_metric_history(run.info.run_id, name)]


def sent(plan: Plan) -> Outcome:
    """Send everything; nothing may be left or refused."""
    outcome = send_now(plan)
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 0, ""), outcome
    assert Spool.of(plan).files() == []
    return outcome


def unsent(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(line) for f in Spool.of(plan).files() for line in f.read_text().splitlines()]


# Names and values


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("mevis", "J&F"), "mevis/J_and_F"),
        (("bench/mevis", "", "J&F"), "bench/mevis/J_and_F"),
        (("charades_sta", "R@0.5, truth cut"), "charades_sta/R_at_0.5_truth_cut"),
        (("qv", "mAP@0.5:0.95 (short)"), "qv/mAP_at_0.5_0.95_short"),
        (("a", "40%"), "a/40_percent"),
        (("loss/total",), "loss/total"),
        (("..", "x//y", "°"), "x/y"),
        (("?",), "unnamed"),
    ],
)
def test_names_of_metrics_are_clean(parts: tuple[str, ...], name: str):
    assert metric_name(*parts) == name
    assert metric_name(name) == name, "a clean name stays as it is"


@settings(deadline=None)
@given(st.lists(st.text(max_size=300), max_size=4))
def test_mlflow_takes_every_clean_name(parts: list[str]):
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(metric_name(*parts))


def test_names_that_would_become_the_same_are_kept_apart():
    assert metric_names(["J&F", "J_and_F", "J and F", "F"]) == {
        "J&F": "J_and_F",
        "J_and_F": "J_and_F_2",
        "J and F": "J_and_F_3",
        "F": "F",
    }


def test_the_parameters_of_a_plan_are_the_keys_that_were_set(plan: Plan):
    params = plan_params(plan)
    assert params["stages.stage1.global_batch"] == 8
    assert params["model.preset"] == "toy"
    assert params["demo.train_videos"] == 4
    assert params["data.sources"] == 2
    assert not [key for key in params if key.startswith(("storage", "ray", "tracking")) or "media" in key]
    assert len(params) < 25
    assert "max_text_tokens: 2048" in plan_text(plan)
    assert "vocab_size" in plan_text(plan)


def test_lists_of_sections_are_named_where_they_have_names():
    named = {"stages": [{"name": "a", "lr": 1}, {"name": "b", "lr": 2}]}
    assert flatten(named)["stages.b.lr"] == 2
    assert flatten({"x": [{"name": "a", "v": 1}, {"name": "a", "v": 2}]})["x.1.v"] == 2


# One run


def log_run(run: Run, file: Path) -> None:
    file.write_text("content")
    with run:
        run.log_params({"model": {"width": 4, "depth": 2}, "password": "hush", "text": "x" * 9000})
        for step in range(50):
            run.log_metrics({"loss": 1 / (step + 1), "lr": 0.1}, step)
        run.log_dataset("talk", "d" * 64, "s3://me:hush@bucket/shards", profile={"samples": 3})
        run.log_model("stage1", "w" * 64, "s3://me:hush@bucket/stage1", output=True)
        run.log_metrics({"mevis/J&F": 0.5}, 0, model="w" * 64, data=("talk", "d" * 64))
        run.log_file(Location.parse(file))
        run.log_table([{"question": "why?", "answer": "so"}], "examples.json")


def check_run(plan: Plan) -> None:
    (found,) = runs_of(plan)
    experiment = client(plan).get_experiment(found.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert found.info.status == "FINISHED"
    assert found.data.params["model.width"] == "4"
    assert len(found.data.params["text"]) == 6000
    assert found.data.tags["ufvideo.fingerprint"] == "f" * 64
    assert found.data.tags["dataset.talk"] == "d" * 64
    assert {"ufvideo.code", "ufvideo.source_digest"} <= set(found.data.tags)
    assert [(i.dataset.name, i.dataset.digest) for i in found.inputs.dataset_inputs] == [("talk", "d" * 36)]
    names = sorted(f.path for f in client(plan).list_artifacts(found.info.run_id))
    assert names == ["examples.json", "note.txt"]
    (model,) = client(plan).search_logged_models([found.info.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("stage1", "READY", found.info.run_id)
    assert model.tags["ufvideo.digest"] == "w" * 64
    assert model.tags["ufvideo.checkpoint"] == "s3://bucket/stage1"
    assert [(m.key, m.value, m.dataset_name) for m in model.metrics] == [("mevis/J_and_F", 0.5, "talk")]
    assert [o.model_id for o in found.outputs.model_outputs] == [model.model_id]
    assert "hush" not in repr(found.to_dictionary())
    assert history(plan, "f" * 64)["loss"] == [(s, 1 / (s + 1)) for s in range(50)]
    assert history(plan, "e" * 64) == {}


def test_a_run_is_logged_to_sqlite(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(plan) == f"sqlite:///{tmp_path}/store/mlflow.db"
    assert history(plan, "f" * 64) == {}
    log_run(start_run(plan, "stage1", "f" * 64), tmp_path / "note.txt")
    assert not (tmp_path / "store/mlflow-files").exists(), "MLflow was used by the step itself"
    sent(plan)
    check_run(plan)
    assert not (tmp_path / "mlruns").exists(), "something was written outside the storage root"


def test_a_run_that_did_not_finish_goes_on_and_a_finished_one_is_made_again(shared: Plan):
    first = start_run(shared, "stage1", "f" * 64, inputs="i")
    first.log_params({"model": {"width": 4}})
    for step in range(5):
        first.log_metrics({"loss": 5.0 - step, "step_s": 1.0}, step, once=True)
    first.end(KILLED)
    sent(shared)
    (run,) = runs_of(shared)
    assert run.info.status == "KILLED"

    with start_run(shared, "stage1", "f" * 64, inputs="i") as again:
        again.log_params({"model": {"width": 5}})
        for step in range(3, 7):  # it resumes from a state of step 3
            again.log_metrics({"loss": 5.0 - step, "step_s": 2.0}, step, once=True)
    sent(shared)
    (run,) = runs_of(shared)
    assert run.info.status == "FINISHED"
    assert points(shared, run, "loss") == [(step, 5.0 - step) for step in range(7)], "none twice"
    assert run.data.params["model.width"] == "4"
    assert run.data.tags["resumed.model.width"] == "5"
    assert run.data.tags["ufvideo.resumed"] == "true"

    for inputs in ("i", "another"):
        with start_run(shared, "stage1", "f" * 64, inputs=inputs) as made_again:
            made_again.log_metrics({"loss": 9.0}, 0, once=True)
    sent(shared)
    assert len(runs_of(shared)) == 3


def test_entries_that_are_sent_twice_change_nothing(shared: Plan, tmp_path: Path):
    """The sender was killed after MLflow had them, before it deleted them."""
    parent = Parent.of(shared, {"stage1": "f" * 64})
    with PlanRun(shared, parent):
        run = start_run(shared, "stage1", "f" * 64, parent=parent)
        log_run(run, tmp_path / "note.txt")
    kept = {place: place.read_bytes() for place in Spool.of(shared).files()}
    sent(shared)
    before = [run.to_dictionary() for run in runs_of(shared)]
    for place, content in kept.items():
        place.write_bytes(content)
    sent(shared)
    after = runs_of(shared)
    assert [run.to_dictionary()["data"] for run in after] == [run["data"] for run in before]
    assert [r.data.tags.get("mlflow.parentRunId") for r in after] == [None, after[0].info.run_id]
    assert len(points(shared, after[1], "loss")) == 50
    assert len(client(shared).search_logged_models([after[0].info.experiment_id])) == 1


def test_a_storage_root_on_s3_keeps_and_sends_entries(
    plan_file: Path, database: str, s3_bucket: str, tmp_path: Path
):
    sets = [f"tracking.uri={database}", "tracking.experiment=remote", f"storage.root={s3_bucket}/x"]
    plan = load_plan(str(plan_file), [*sets, f"storage.cache={tmp_path}/cache"])
    page = Location.parse(f"{s3_bucket}/x/report/page.html")
    page.write_text("<html>")
    with start_run(plan, "stage1", "f" * 64) as run:
        run.log_metrics({"loss": 1.0}, 0)
        run.log_file(page)
    assert Spool.of(plan).files()[0].uri.startswith(f"{s3_bucket}/x/tracking/remote-")
    sent(plan)
    (found,) = runs_of(plan)
    assert points(plan, found, "loss") == [(0, 1.0)]
    assert [f.path for f in client(plan).list_artifacts(found.info.run_id)] == ["page.html"]


def test_logging_does_not_wait_for_the_disk_or_mlflow(shared: Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Spool, "add", lambda self, entries: time.sleep(0.5))
    run = start_run(shared, "stage1", "a" * 64)
    run.start()
    begun = time.monotonic()
    for step in range(2000):
        run.log_metrics({"loss": 1.0}, step)
    assert time.monotonic() - begun < 0.4


def test_a_step_imports_no_mlflow(plan_file: Path):
    code = (
        "import sys; from pipeline.plan.load import load_plan; from pipeline.jobs.step import *\n"
        f"plan = load_plan({str(plan_file)!r})\n"
        "build(make_context(plan, 'corpora'), lambda context: StepResult('d', {'n': 1}))\n"
        "assert not {'mlflow', 'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_run_that_has_not_begun_can_be_pickled(plan: Plan):
    copy = pickle.loads(pickle.dumps(start_run(plan, "stage1", "d" * 64, inputs="i")))
    assert (copy.step, copy.fingerprint, copy.inputs, copy.plan) == ("stage1", "d" * 64, "i", plan)


def fail(context: StepContext) -> StepResult:
    raise ZeroDivisionError


def stop(context: StepContext) -> StepResult:
    raise KeyboardInterrupt


def test_a_run_ends_as_its_step_does(shared: Plan):
    status = []
    for builder, error in ((fail, ZeroDivisionError), (stop, KeyboardInterrupt)):
        with pytest.raises(error):
            build(make_context(shared, "corpora"), builder)
        sent(shared)
        (of_step,) = (run for run in runs_of(shared) if "ufvideo.step" in run.data.tags)
        status.append(of_step.info.status)
    assert status == ["FAILED", "KILLED"], "the run went on, and then was stopped"


def test_a_spool_that_cannot_be_written_does_not_fail_the_step(
    shared: Plan, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/tracking").write_text("a file in its place")
    with start_run(shared, "stage1", "c" * 64) as run:
        run.log_metrics({"loss": 1.0}, 0)
    assert "Note: 3 entries of stage1 for MLflow are lost, because" in capsys.readouterr().err


def test_what_mlflow_refuses_is_put_aside_and_told(shared: Plan, capsys: pytest.CaptureFixture[str]):
    with start_run(shared, "stage1", "b" * 64) as run:
        run.log_metrics({"loss": 1.0}, 0)
        run.log_file(Location.parse("/nowhere/page.html"))
    Spool.of(shared).add([{"run": "unknown", "do": "tags", "tags": {"a": "b"}}, {"run": "x", "do": "fly"}])
    (Spool.of(shared).folder / "9000000000000000000-00000000.jsonl").write_text("{damaged\n")
    outcome = send_now(shared)
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 4, "")
    (aside,) = (Spool.of(shared).folder / "refused").list(".jsonl")
    whys = [json.loads(line)["why"] for line in aside.read_text().splitlines()]
    assert [why.split(":")[0] for why in whys] == [
        "its file is gone",
        "is not understood (AttributeError",
        "is not understood (KeyError",
        f"{Spool.of(shared).folder.uri}/9000000000000000000-00000000.jsonl is damaged",
    ]
    (run,) = runs_of(shared)
    assert points(shared, run, "loss") == [(0, 1.0)]


def test_one_refused_entry_of_several_that_are_sent_together_costs_no_other(shared: Plan) -> None:
    with start_run(shared, "stage1", "c" * 64) as run:
        for name, value in (("good", "1"), ("bad:\nname", "2"), ("fine", "3")):
            run.set_tag(name, value)
        run.log_dataset("data", "d" * 64, "file:///a", "training", {"samples": 3})
        run.log_dataset("more", "e" * 64, "file:///b", "training")
    outcome = send_now(shared)
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 1, "")
    (found,) = runs_of(shared)
    assert (found.data.tags["good"], found.data.tags["fine"]) == ("1", "3")
    assert {one.dataset.name for one in found.inputs.dataset_inputs} == {"data", "more"}
    assert found.data.tags["dataset.more"] == "e" * 64


# Steps and plans


def slow(context: StepContext) -> StepResult:
    time.sleep(1.2)
    (context.out / "metrics.json").write_text("{}")
    return StepResult("d1", {"videos": 3, "sources": {"a/b": {"kept": 7}}, "name": "x", "whole": True})


def test_the_run_of_a_step_lasts_from_its_start_to_its_end(shared: Plan, capsys: pytest.CaptureFixture[str]):
    """Catches steps without a run, and runs that last only as long as it takes to log them."""
    made = build(make_context(shared, "corpora"), slow)
    sent(shared)
    (run,) = (r for r in runs_of(shared) if "ufvideo.step" in r.data.tags)
    assert run.info.status == "FINISHED"
    seconds = (run.info.end_time - run.info.start_time) / 1000
    assert made.record.seconds - 0.1 <= seconds <= made.record.seconds + 1
    assert run.data.metrics["videos"] == 3.0
    assert run.data.metrics["sources.a/b.kept"] == 7.0
    assert run.data.metrics["seconds"] == made.record.seconds
    assert run.data.tags["digest"] == "d1"
    assert run.data.tags["artifact"] == made.location.uri
    assert run.data.tags["ufvideo.step"] == "corpora"
    assert run.data.params == {"demo.train_videos": "4"}
    files = [f.path for f in client(shared).list_artifacts(run.info.run_id)]
    assert files == ["metrics.json", "record.json"]
    build(make_context(shared, "prepare"), slow)
    sent(shared)
    latest = runs_of(shared)[-1]
    assert [(i.dataset.name, i.dataset.digest) for i in latest.inputs.dataset_inputs] == [("corpora", "d1")]
    assert capsys.readouterr().err == ""


def test_a_stage_has_its_sources_and_checkpoints(shared: Plan):
    """With the digests of the manifest, as `prepare` puts them into its record."""
    talk = {"kept": 7, "use": "train", "identity": "t" * 64}
    sources = {"talk": talk, "choice": {**talk, "use": "benchmark"}}
    build(make_context(shared, "corpora"), quick)
    build(make_context(shared, "prepare"), lambda context: StepResult("p" * 64, {"sources": sources}))
    build(make_context(shared, "init"), quick)
    made = build(make_context(shared, "stage1"), quick)
    sent(shared)
    run = next(r for r in runs_of(shared) if r.data.tags.get("ufvideo.step") == "stage1")
    data = {i.dataset.name: (i.dataset.digest, i.dataset.profile) for i in run.inputs.dataset_inputs}
    assert data == {
        "prepare": ("p" * 36, '{"samples": 14}'),
        "talk": ("t" * 36, '{"samples": 7}'),
    }
    models = {m.model_id: m for m in client(shared).search_logged_models([run.info.experiment_id])}
    run = client(shared).get_run(run.info.run_id)  # a search leaves out the models
    assert [models[m.model_id].name for m in run.inputs.model_inputs] == ["init"]
    (own,) = (models[m.model_id] for m in run.outputs.model_outputs)
    assert (own.name, own.tags["ufvideo.digest"]) == ("stage1", made.record.digest)
    assert own.tags["ufvideo.checkpoint"] == made.location.uri
    assert own.tags["ufvideo.input.prepare"] == "p" * 64
    assert run.data.params["global_batch"] == "8"


def quick(context: StepContext) -> StepResult:
    return StepResult(f"digest of {context.spec.name}", {})


def test_two_runs_of_a_plan_have_one_parent_and_another_plan_has_its_own(
    shared: Plan, plan_file: Path, database: str, capsys: pytest.CaptureFixture[str]
):
    with tracked_plan(shared, survey(shared), print):  # as `ufvideo run` does
        build(make_context(shared, "corpora"), quick)
    with tracked_plan(shared, survey(shared), print):
        build(make_context(shared, "prepare"), quick)
    assert unsent(shared) == []
    parent, *children = runs_of(shared)
    assert parent.info.run_name == Parent.of(shared, survey(shared).fingerprints).name
    assert [run.data.tags["ufvideo.step"] for run in children] == ["corpora", "prepare"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert parent.info.end_time >= children[-1].info.end_time
    assert parent.data.params["stages.stage1.steps"] == "4"
    assert "plan.yaml" in [f.path for f in client(shared).list_artifacts(parent.info.run_id)]
    assert "| prepare | `digest of pr` |" in parent.data.tags["mlflow.note.content"]
    assert "| stage1 | not made |" in parent.data.tags["mlflow.note.content"]

    other = load_plan(str(plan_file), [f"tracking.uri={database}", "stages.0.steps=5"])
    other = other.model_copy(update={"tracking": shared.tracking})
    with PlanRun(other, Parent.of(other, survey(other).fingerprints)):
        build(make_context(other, "init"), quick)
    sent(shared)
    runs = runs_of(shared)
    assert len(runs) == 5
    assert runs[3].data.params["stages.stage1.steps"] == "5"
    assert runs[4].data.tags["mlflow.parentRunId"] == runs[3].info.run_id
    assert capsys.readouterr().out == ""


def test_the_load_of_the_machine_is_logged(shared: Plan, monkeypatch: pytest.MonkeyPatch):
    from pipeline.jobs import system_metrics

    monkeypatch.setattr(system_metrics, "_FIRST_S", 0.1)
    monkeypatch.setattr(system_metrics, "EVERY_S", 0.3)
    build(make_context(shared, "corpora"), slow)
    metrics = [e["points"] for e in unsent(shared) if e["do"] == "metrics" and len(e["points"]) > 4]
    assert len(metrics) >= 2
    values = {name: value for name, value, *_ in metrics[-1]}
    assert 0 <= values["system/cpu_utilization_percentage"] <= 100
    assert values["system/system_memory_usage_megabytes"] > 10


def test_a_database_that_would_be_lost_is_refused(plan_file: Path, monkeypatch: pytest.MonkeyPatch):
    far, cluster = "storage.root=s3://bucket/x", "ray.address=auto"
    for sets in ([far], [cluster], [far, cluster, "tracking.uri=http://host:5000"]):
        assert tracking_uri(load_plan(str(plan_file), sets))
    with pytest.raises(UserError, match="would be in a temporary folder"):
        tracking_uri(load_plan(str(plan_file), [far, cluster]))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri(load_plan(str(plan_file), [far, cluster])) == "http://host:5000"


# A server


def test_a_server_that_is_away_at_the_start_gets_everything_later(
    plan_file: Path, server: MlflowServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    plan = load_plan(str(plan_file), [f"tracking.uri={server.url}", "tracking.experiment=away"])
    begun = time.monotonic()
    with tracked_plan(plan, survey(plan), print):
        made = build(make_context(plan, "corpora"), quick)
        run = start_run(plan, "stage1", "f" * 64)
        log_run(run, tmp_path / "note.txt")
    assert made.record.digest == "digest of corpora"
    assert time.monotonic() - begun < sending.WAIT_S, "it is told at once that nobody answers"
    told = capsys.readouterr().out
    assert told.count("\n") == 1, told
    assert told.startswith(f"Note: MLflow at {server.url} does not have everything yet (MlflowException: ")
    assert f"files are kept in {tmp_path}/store/tracking/away-" in told
    assert "the next `ufvideo run` sends them." in told

    server.start()
    send_leftovers(plan, print)
    assert capsys.readouterr().out == ""
    assert unsent(plan) == []
    parent, corpora, stage = runs_of(plan)
    assert {run.info.status for run in (parent, corpora, stage)} == {"FINISHED"}
    assert points(plan, stage, "loss") == [(s, 1 / (s + 1)) for s in range(50)]
    assert parent.info.start_time <= corpora.info.start_time <= corpora.info.end_time <= parent.info.end_time
    send_leftovers(plan, print)


def test_a_run_is_logged_to_a_real_server(plan_file: Path, tmp_path: Path, server: MlflowServer):
    server.start_once()
    plan = load_plan(str(plan_file), [f"tracking.uri={server.url}", "tracking.experiment=mine"])
    log_run(start_run(plan, "stage1", "f" * 64), tmp_path / "note.txt")
    sent(plan)
    check_run(plan)
    assert not (tmp_path / "store/mlflow.db").exists()


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back_misses_nothing(
    plan_file: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
):
    server.start_once()
    monkeypatch.setattr(spool, "WRITE_EVERY_S", 0.05)
    plan = load_plan(str(plan_file), [f"tracking.uri={server.url}", "tracking.experiment=dies"])
    with tracked_plan(plan, survey(plan), print), start_run(plan, "stage1", "f" * 64) as run:
        for step in range(300):
            if step == 100:
                server.kill()
            if step == 200:
                assert len(Spool.of(plan).files()) > 5, "the rows wait on the disk"
                server.start()
            run.log_metrics({"loss": float(step)}, step, once=True)
            time.sleep(0.03)
    assert unsent(plan) == []
    stage = runs_of(plan)[-1]
    assert points(plan, stage, "loss") == [(s, float(s)) for s in range(300)]
    assert stage.info.status == "FINISHED"


def test_steps_that_were_killed_before_they_could_say_so_are_ended_with_their_command(shared: Plan):
    """The steps leave the status RUNNING behind; only those of the stopped command are ended."""
    parent = Parent.of(shared, {"init": "4" * 64})
    for step in ("init", "stage1", "stage2"):
        run = start_run(shared, step, digest([step]), parent=parent)
        run.log_params({"a": 1})
        assert run._outbox is not None
        if step == "stage2":
            run.end()
        else:
            run._outbox.flush()

    def stopped() -> None:
        with PlanRun(shared, parent) as command:
            command.own_steps = [digest(["stage1"]), digest(["stage2"])]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    sent(shared)
    steps = [run for run in runs_of(shared) if "ufvideo.step" in run.data.tags]
    states = {run.data.tags["ufvideo.step"]: run.info.status for run in steps}
    assert states == {"init": "RUNNING", "stage1": "KILLED", "stage2": "FINISHED"}


@pytest.mark.slow
def test_a_command_that_is_killed_while_it_makes_the_database_leaves_none(tmp_path: Path):
    """Catches a database of which some tables were made: MLflow can never open it."""
    place, scratch = tmp_path / "store" / "mlflow.db", tmp_path / "scratch"
    scratch.mkdir()
    script = f"from pipeline.jobs.mlflow_store import client_of; client_of('sqlite:///{place}')"
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"TMPDIR": str(scratch)})
    while not any(path.stat().st_size for path in scratch.glob("*/mlflow.db")):
        assert process.poll() is None, "it had ended before it was killed"
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not list(place.parent.iterdir())
    assert client_of(f"sqlite:///{place}").search_experiments()
    assert [path.name for path in place.parent.iterdir()] == ["mlflow.db"]
