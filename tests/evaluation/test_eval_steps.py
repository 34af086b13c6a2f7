"""The steps evaluate and report with the toy model, Ray actors, the store, the table and the page."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_bench import BROKEN, PER_SOURCE, SOURCES, sample, staged

from evaluation.run import evaluate, report
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import State
from pipeline.artifacts.survey import survey
from pipeline.jobs.mlflow_store import history, tracking_uri
from pipeline.jobs.sender import send_now
from pipeline.jobs.step import build, make_context
from pipeline.plan.plan import Plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return staged(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def evaluated(plan: Plan, ray_cluster: None) -> Artifact:
    return build(make_context(plan, "evaluate-init"), evaluate)


def answer_files(plan: Plan) -> dict[str, bytes]:
    folder = Path(plan.storage.root) / "answers"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def evaluate_again(plan: Plan) -> tuple[Artifact, set[str]]:
    """Evaluates once more; returns the artifact and the names of new files of answers."""
    before = answer_files(plan)
    made = build(make_context(plan, "evaluate-init"), evaluate)
    return made, {name for name in answer_files(plan) if name not in before}


def with_changes(plan: Plan, **entry: object) -> Plan:
    """The plan with other settings of its evaluation: ``benchmarks`` replaces the list, others its first."""
    content = plan.model_dump(mode="json")
    for key, value in entry.items():
        if key in content["evaluation"]:
            content["evaluation"][key] = value
        else:
            content["evaluation"]["benchmarks"][0][key] = value
    return Plan.model_validate(content)


def rows_of(plan: Plan) -> list[dict[str, object]]:
    folder = Path(plan.storage.root) / "answers"
    return [row for path in sorted(folder.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_every_sample_is_asked_once_and_scored(plan: Plan, evaluated: Artifact) -> None:
    keys = [sample(source, n).key for source in SOURCES for n in range(PER_SOURCE)]
    broken = {f"{source}/{BROKEN}" for source in SOURCES}
    stored = [row["key"] for row in rows_of(plan)]
    assert sorted(stored) == sorted(set(keys) - broken), "samples of unreadable videos have no stored answer"
    listed = json.loads((evaluated.location / "unreadable.json").read_bytes())
    assert {row["key"] for row in listed} == broken
    assert all(row["video"] == "broken.mp4" and "/" not in row["reason"] for row in listed)
    scores = pq.read_table(evaluated.location.local_path / "scores.parquet").to_pylist()
    assert {row["key"] for row in scores} == set(keys) - broken
    videos = {
        sample(source, n).key: sample(source, n).video.sha256 for source in SOURCES for n in range(PER_SOURCE)
    }
    assert all(row["video"] == videos[row["key"]] != "" for row in scores)
    content = json.loads((evaluated.location / "metrics.json").read_bytes())
    for source in SOURCES:
        counts = content["benchmarks"][source]
        assert (counts["samples"], counts["unreadable"]) == (PER_SOURCE - 1, 1)
    described = json.loads(next((Path(plan.storage.root) / "answers").glob("*/answers.json")).read_bytes())
    assert described["identity"] == content["answer_store"]
    assert (described["checkpoint"], described["device"]) == ("checkpoint-1", "cpu float32")


def test_metrics_are_logged_to_mlflow(plan: Plan, evaluated: Artifact) -> None:
    outcome = send_now(plan)
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 0, "")
    found = history(plan, evaluated.record.fingerprint)
    assert found["bench/mevis/J_and_F"] == [(0, pytest.approx(_metric(evaluated, "bench/mevis", "J&F")))]


def test_examples_and_files_are_in_the_run(plan: Plan, evaluated: Artifact) -> None:
    from mlflow.tracking import MlflowClient

    send_now(plan)
    client = MlflowClient(tracking_uri(plan))
    experiment = client.get_experiment_by_name(plan.name)
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id], "tags.`ufvideo.step` = 'evaluate-init'")[0]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"examples.json", "metrics.json", "record.json", "unreadable.json"} <= files
    place = client.download_artifacts(run.info.run_id, "examples.json")
    table = json.loads(Path(place).read_text())
    assert table["columns"][:4] == ["benchmark", "sample", "question", "answer"]
    assert Counter(row[0] for row in table["data"]) == dict.fromkeys(SOURCES, 4)
    assert all(row[2] for row in table["data"])
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["prepare"]
    run = client.get_run(run.info.run_id)  # a search leaves out the models
    assert [len(run.inputs.model_inputs), len(run.outputs.model_outputs)] == [1, 0]
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert "bench/mevis/J_and_F" in {metric.key for metric in model.metrics}


def test_the_next_run_retries_samples_of_unreadable_videos(plan: Plan, evaluated: Artifact) -> None:
    decisions = {d.spec.name: d for d in survey(plan).decide()}
    assert decisions["evaluate-init"].state is State.TODO
    assert "videos of 6 samples could not be read" in decisions["evaluate-init"].reason


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 4},
        {"name": "another"},
        {"report_samples": 1},
        {"batch_size": 2},
        {
            "benchmarks": [
                {"source": "bench/charades", "family": "charades_sta"},
                {
                    "source": "bench/charades",
                    "family": "charades_sta",
                    "name": "bare",
                    "bare_times": "seconds",
                    "outside_times": "clamp",
                },
            ]
        },
    ],
)
def test_a_change_of_scoring_reuses_all_answers(
    plan: Plan, evaluated: Artifact, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken video would be retried; without it no question is asked and no cluster is started."""
    from evaluation import answering

    def refuse(*args: object) -> None:
        raise AssertionError("a cluster was started")

    videos = Path(plan.storage.root).parent / "media"
    (videos / "broken.mp4").rename(videos / "away.mp4")
    monkeypatch.setattr(answering.cluster, "connect", refuse)
    try:
        made, new = evaluate_again(with_changes(plan, **change))
    finally:
        (videos / "away.mp4").rename(videos / "broken.mp4")
    assert new == set()
    listed = json.loads((made.location / "unreadable.json").read_bytes())
    assert all("is in none of" in row["reason"] for row in listed)
    if "benchmarks" in change:
        counts = json.loads((made.location / "metrics.json").read_bytes())["benchmarks"]
        assert counts["bench/charades"]["answers"] == counts["bare"]["answers"]
        assert counts["bench/charades"]["scored"] != counts["bare"]["scored"]
        assert counts["bare"]["samples"] == PER_SOURCE - 1


def test_a_damaged_part_is_reported_and_only_its_answers_are_made_again(
    plan: Plan, evaluated: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(plan.storage.root) / "answers"
    before = answer_files(plan)
    name = sorted(before)[1]
    (folder / name).write_bytes(before[name][:-9])
    made, _ = evaluate_again(plan)
    assert f"{'/'.join(name.split('/')[1:])} was damaged" in capsys.readouterr().out
    assert made.record.digest == evaluated.record.digest
    rows = rows_of(plan)
    assert len({(r["key"], r["question"]) for r in rows}) == len(rows) == len(SOURCES) * (PER_SOURCE - 1)
    after = answer_files(plan)
    untouched = before.keys() - {name}
    assert all(after[one] == before[one] for one in untouched)
    lost = pq.read_table(io.BytesIO(before[name])).num_rows
    made_again = after.keys() - untouched
    assert sum(pq.read_table(io.BytesIO(after[one])).num_rows for one in made_again) == lost


def test_the_report_has_every_benchmark_with_pictures(plan: Plan, evaluated: Artifact) -> None:
    made = build(make_context(plan, "report"), report)
    text = (made.location / "table.txt").read_text()
    assert "before training" in text
    assert all(source in text for source in SOURCES)
    paper = (made.location / "table.md").read_text()
    assert "## UFVideo-Bench" in paper
    assert "| before training | standard" in paper
    assert (made.location / "table.tex").read_text().count("\\begin{table*}") == paper.count("\n## ") - 1
    page = (made.location / "report.html").read_text()
    # two samples each, and two of each of UFVideo-Bench's tasks
    assert page.count('class="sample">') == 2 * 5 + 2 * 2
    assert page.count("data:image/jpeg") > 12
    assert str(plan.storage.root) not in re.sub(r"<pre.*?</pre>", "", page, flags=re.S), "but for the plan"


def test_all_samples_can_be_on_the_page(plan: Plan, evaluated: Artifact) -> None:
    """Every sample of a readable video has its answer; a page of the same inputs has the same bytes."""
    every = with_changes(plan, report_samples="all")
    made = build(make_context(every, "report"), report)
    page = (made.location / "report.html").read_bytes()
    [index] = re.findall(rb'id="index">(.*?)</script>', page, re.S)
    samples = json.loads(index)["samples"]
    assert len(samples) == len(SOURCES) * PER_SOURCE == page.count(b'class="sample">')
    shown = "\n".join(one["text"] for one in samples)
    assert "<TEMP-" in shown
    assert not re.search(r"<TEMP-\d{3}>(?!\}? \(|<TEMP)", shown), "a time token without seconds"
    without = [one for one in samples if one["states"] == ["none"]]
    assert len(without) == len(SOURCES), "those of the broken video"
    assert all(f"/{BROKEN}\n" in one["text"] for one in without)
    scores = pq.read_table(evaluated.location.local_path / "scores.parquet").to_pylist()
    right = sum(row["value"] == 1 and not row["failure"] for row in scores if row["measure"] == "accuracy")
    choices = [one for one in samples if one["benchmark"] in ("bench/mvbench", "bench/refer")]
    assert sum(one["states"] == ["right"] for one in choices) == right
    (made.location / "report.html").local_path.unlink()
    again = build(make_context(every, "report"), report)
    assert (again.location / "report.html").read_bytes() == page


@pytest.mark.slow
def test_another_checkpoint_answers_every_question(plan: Plan, evaluated: Artifact) -> None:
    from tiny_bench import finished

    folder = Path(plan.storage.root).parent / "other"
    shutil.copytree(Path(plan.storage.root).parent / "checkpoint", folder)
    count = len(rows_of(plan))
    finished(plan, "init", folder, "checkpoint-2")
    made, _ = evaluate_again(plan)
    assert len(rows_of(plan)) == 2 * count
    assert made.record.digest != evaluated.record.digest


def _metric(artifact: Artifact, benchmark: str, name: str) -> float:
    rows = json.loads((artifact.location / "metrics.json").read_bytes())["metrics"]
    return next(
        r["value"] for r in rows if (r["benchmark"], r["category"], r["metric"]) == (benchmark, "", name)
    )
