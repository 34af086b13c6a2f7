"""Judged scores from stored answers to the table: no answer is lost, and none without a mark is a zero."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from judge_server import KEY, MODEL, Response, judge_server, marks
from tiny_bench import PER_SOURCE, finished, make_plan, write_dataset

from evaluation.answer_store import Answered, AnswerStore
from evaluation.asking import entry_items
from evaluation.benchmarks import benchmark_of
from evaluation.benchmarks.ufvideo_bench import description
from evaluation.prediction import Prediction
from evaluation.report.table import make_table, table_text
from evaluation.run import answer_settings, evaluate
from evaluation.scores import read_metrics
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import State
from pipeline.artifacts.survey import survey
from pipeline.commands.preflight import preflight, refuse_steps
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs.step import build, make_context
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location

DESCRIBE, UFVIDEO = "bench/describe", "bench/ufvideo"
EMPTY, LOST = 2, 5  # of the descriptions: one without text, and one that the judge never marks


def with_judge(plan: Plan, **judge: Any) -> Plan:
    content = plan.model_dump(mode="json")
    content["evaluation"]["judge"] = judge or None
    return Plan.model_validate(content)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan with two judged benchmarks whose answers are all stored, so that no model is needed."""
    folder = tmp_path_factory.mktemp("judged")
    content = make_plan(folder).model_dump(mode="json")
    content["evaluation"]["benchmarks"] = [
        b for b in content["evaluation"]["benchmarks"] if b["source"] in (DESCRIBE, UFVIDEO)
    ]
    plan = Plan.model_validate(content)
    data = write_dataset(folder)
    finished(plan, "prepare", data.local_path, read_manifest(data).digest)
    (folder / "checkpoint").mkdir()
    finished(plan, "init", folder / "checkpoint", "checkpoint-1")
    assert plan.evaluation is not None
    reader = ShardReader(survey(plan).folder("prepare"))
    store = AnswerStore.at(
        Location.parse(plan.storage.root), answer_settings(plan.evaluation, "checkpoint-1", reader)
    )
    for bench in plan.evaluation.benchmarks:
        made = []
        for n, item in enumerate(entry_items(reader, bench, plan.seed)):
            span = "{<TEMP-010><TEMP-050>}. " if n % 2 else ""  # PixTRQA and PixHQA alternate
            text = f"{span}Answer {n}. The segmentation mask of object_1 is [SEG]."
            if bench.source == DESCRIBE:
                text = "" if n == EMPTY else f"Answer {n}."
            prediction = Prediction(key=item.key, source=bench.source, text=text)
            made.append(Answered(question=item.question, prediction=prediction))
        store.write(bench.source, made)
    return plan


def score(plan: Plan) -> Artifact:
    return build(make_context(plan, "evaluate-init"), evaluate)


def metrics(made: Artifact, source: str, category: str = "") -> dict[str, Any]:
    rows, _ = read_metrics(made.location)
    return {r.metric: r for r in rows if (r.benchmark, r.category) == (source, category)}


def table(plan: Plan, made: Artifact) -> str:
    rows, counts = read_metrics(made.location)
    assert plan.evaluation is not None
    return table_text(make_table(["init"], {"init": rows}, plan.evaluation.benchmarks, counts))


def judged_answer(request: dict[str, Any]) -> str:
    return str(json.loads(request["messages"][1]["content"])["answer"])


def test_without_a_judge_the_other_metrics_are_scored(answered: Plan):
    made = score(answered)
    text = table(answered, made)
    lines = [line for line in text.splitlines() if "not judged" in line and not line.startswith("*")]
    assert len(lines) == 3, "one line for each benchmark and task says so, and not one for every mark"
    assert f"{DESCRIBE}: 0 of 10 answers are judged; 10 not judged: the plan has no judge" in text
    assert metrics(made, UFVIDEO, "PixTRQA")["tIoU"].samples == PER_SOURCE // 2
    average = metrics(made, DESCRIBE)["Avg"]
    assert (average.value, average.samples, average.failures) == (None, 0, 0)
    rows = pq.read_table(made.location.local_path / "scores.parquet").to_pylist()
    assert {r["value"] for r in rows if r["measure"] == "SAvg"} == {None}
    assert not (made.location / "judge.json").exists()
    assert survey(answered).decide()[-2].state is State.DONE


def test_marks_of_the_judge_reach_scores_table_and_agreement(
    answered: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """One answer has no text, and one has a reply that cannot be read."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    own = tmp_path / "people.jsonl"
    lines = [
        {"key": f"{DESCRIBE}/{n}", "marks": {"SC": 5, "AD": 4, "TD": 1, "HD": 4}} for n in (0, 1, EMPTY, LOST)
    ]
    lines.append(
        {"key": f"{DESCRIBE}/7", "answer": "Another.", "marks": dict.fromkeys(("SC", "AD", "TD", "HD"), 1)}
    )
    own.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def script(request: dict[str, Any], n: int) -> Response:
        if judged_answer(request) == f"Answer {LOST}." and "Please give" in request["messages"][1]["content"]:
            return Response(content="Sorry.")
        return Response(content=marks(4, subject_correspondence=5, temporal_description=1))

    with judge_server(script) as server:
        plan = with_judge(
            answered,
            endpoint=server.url,
            model="judge",
            key_variable="JUDGE_KEY",
            retries=1,
            reference=str(own),
        )
        made = score(plan)
        requests = len(server.requests)
        judged = {judged_answer(r) for r in server.requests}
        assert judged == {f"Answer {n}." for n in range(PER_SOURCE)}, "no span, no mask, no empty answer"
        out = capsys.readouterr().out
        found = metrics(made, DESCRIBE)
        total = PER_SOURCE - 1  # the failed judgement is in no mean, the empty answer is a 0 in every one
        assert found["SC"].value == pytest.approx(5 * (total - 1) / total)
        assert found["Avg"].value == pytest.approx(3.5 * (total - 1) / total)
        assert found["Avg without T"].value == pytest.approx(13 / 3 * (total - 1) / total)
        assert (found["Avg"].samples, found["Avg"].failures) == (total, 1)
        assert found["Avg"].missing == {"the reply is not JSON": 1}
        assert f"marked by {MODEL} at temperature 0" in found["Avg"].description
        assert metrics(made, UFVIDEO, "PixTRQA")["SAvg"].value == 3.5
        text = table(plan, made)
        assert "9 of 10 answers are judged; 1 the reply is not JSON." in text
        assert "3.11 ±" in text
        rows = pq.read_table(made.location.local_path / "scores.parquet").to_pylist()
        lost = [r for r in rows if r["key"] == f"{DESCRIBE}/{LOST}"]
        assert {(r["value"], r["failure"]) for r in lost} == {(None, "the reply is not JSON")}
        assert len([r for r in rows if r["benchmark"] == DESCRIBE]) == 6 * PER_SOURCE, "no row is lost"
        report = json.loads((made.location / "judge.json").read_bytes())
        assert (report["model"], report["models"]) == ("judge", {MODEL: 18})
        assert report["spent"]["requests"] == requests
        agreed = json.loads((made.location / "agreement.json").read_bytes())
        assert agreed["references"] == {
            "compared": 2,
            "another answer": 1,
            "not judged": 1,
            "no such answer": 1,
        }
        assert [d["exact"] for d in agreed["dimensions"]] == [1.0] * 4
        assert "quadratic kappa –" in out, "both always give one mark: agreement beyond chance is not defined"

        decided = {d.spec.name: d for d in survey(plan).decide()}["evaluate-init"]
        assert (decided.state, decided.reason) == (
            State.TODO,
            "1 answers are not judged; the judge is asked again",
        )
        server.requests.clear()
        assert score(plan).record.digest == made.record.digest
        assert {judged_answer(r) for r in server.requests} == {f"Answer {LOST}."}

    root = Path(plan.storage.root)
    holding = [str(p) for p in root.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert not holding
    assert KEY not in out

    replayed = score(with_judge(answered, model="judge", reference=str(own)))
    assert metrics(replayed, DESCRIBE)["Avg"].value == found["Avg"].value
    assert metrics(replayed, DESCRIBE)["Avg"].missing == {"not judged: the plan names no endpoint": 1}
    shutil.rmtree(root / "judgements")


def test_a_mean_without_a_judged_answer_is_none(answered: Plan, monkeypatch: pytest.MonkeyPatch):
    with judge_server(lambda request, n: Response(status=401)) as server:
        made = score(with_judge(answered, endpoint=server.url, model="judge", key_variable=None))
    assert {r.value for r in metrics(made, DESCRIBE).values()} == {None}


def test_check_names_a_key_that_is_not_set(answered: Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    plan = with_judge(answered, endpoint="https://judge.example/v1", key_variable="JUDGE_KEY")
    with pytest.raises(UserError, match=r"judge\.key_variable: names JUDGE_KEY, which is not set"):
        refuse_steps(plan, survey(plan).decide())
    replaying = with_judge(answered, key_variable="JUDGE_KEY")  # has no endpoint
    refuse_steps(replaying, survey(replaying).decide())
    monkeypatch.setenv("JUDGE_KEY", KEY)
    refuse_steps(plan, survey(plan).decide())


def test_a_plan_that_contains_a_key_is_refused():
    from pydantic import ValidationError

    from pipeline.plan.judge import JudgeConfig

    for keys in (
        {"key_variable": "sk-" + "x" * 20},
        {"endpoint": f"https://user:{KEY}@judge.example/v1"},
        {"endpoint": f"https://judge.example/v1?api-key={KEY}"},
        {"endpoint": "judge.example"},
        {"budget": {"money": 3}},
    ):
        with pytest.raises(ValidationError):
            JudgeConfig.model_validate(keys)


def test_endpoint_and_limits_are_not_in_the_fingerprint(answered: Plan, tmp_path: Path):
    def identity(**judge: Any) -> str:
        return survey(with_judge(answered, model="judge", **judge)).fingerprints["evaluate-init"]

    instructions = tmp_path / "instructions.txt"
    instructions.write_text("Mark it.")
    plain = identity()
    assert identity(endpoint="http://x/v1", retries=1, budget={"tokens": 5}, concurrency=2) == plain
    instructed = identity(instructions=str(instructions))
    instructions.write_text("Mark it well.")
    others = identity(instructions=str(instructions)), identity(reference=str(instructions))
    assert len({plain, instructed, *others}) == 4
    with pytest.raises(UserError, match=r"evaluation\.judge\.instructions"):
        preflight(with_judge(answered, instructions=str(tmp_path / "none.txt")))


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        ("PixTRQA", "{<TEMP-010><TEMP-020>}. A man runs. The segmentation mask is [SEG].", "A man runs."),
        ("PixTRQA", "From 3.2 s to 5.0 s. A man runs.", "A man runs."),
        ("PixTRQA", "A man runs", "A man runs"),
        ("PixTRQA", "From 3.2 s to 5.0 s.", ""),
        (
            "PixRQA",
            "object_1 runs. It stops. The segmentation mask of object_1 is [SEG].",
            "object_1 runs. It stops.",
        ),
        ("PixHQA", "<think>Hm.</think> It  is [SEG] red.", "It is red."),
    ],
)
def test_only_the_description_in_a_text_is_judged(task: str, text: str, expected: str):
    assert description(text, task) == expected


def test_an_answer_with_only_a_span_is_a_failure_and_is_not_sent_to_the_judge():
    from tiny_bench import sample

    one = sample(UFVIDEO, 1)
    row = benchmark_of("ufvideo_bench")
    made = Prediction(key=one.key, source=UFVIDEO, text="{<TEMP-010><TEMP-020>}. [SEG]", masks=one.targets)
    assert row.judged is not None
    assert row.judged(one, made) is None
    assert row.score(one, made).failures["SAvg"] == "no text in the answer"
    shown = row.judged(one, replace(made, text="{<TEMP-010><TEMP-020>}. It runs."))
    assert shown is not None
    assert (shown.answer, shown.reference) == ("It runs.", "A red square moves.")
