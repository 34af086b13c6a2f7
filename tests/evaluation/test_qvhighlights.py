"""QVHighlights: several windows per query, their average precision, and the forms of predictions."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_score_published import checkout

from evaluation.benchmarks import benchmark_of
from evaluation.metrics.windows import THRESHOLDS, Window, average_precisions, first_window_iou
from evaluation.score.__main__ import main
from pipeline.draw import stream

TRUTH = (
    {"qid": 11, "vid": "a_0.0_150.0", "query": "A dog runs.", "relevant_windows": [[10, 20], [40, 80]]},
    {"qid": 12, "vid": "a_0.0_150.0", "query": "A cat sits.", "relevant_windows": [[0, 8]]},
    {"qid": 1, "vid": "b_60.0_210.0", "query": "Someone waves.", "relevant_windows": [[100, 130]]},
)
MADE = {
    # The first hits the long window with an IoU of 0.75; the second, the surest, hits nothing.
    11: [[50, 80, 0.5], [100, 110, 0.9], [10, 20, 0.2]],
    12: [[4, 8, 0.3], [0, 8, 0.3]],  # an IoU of 0.5, which counts; equal confidences keep their order
    1: [[110, 140, 0.8]],  # 20 s of 40: 0.5 as well
}
# By hand. 11: ranks are miss, hit (up to 0.75), hit. Precision is 1/2 and 2/3 at the hits: the better, 2/3,
# counts for both. Above 0.75 only the third of three hits: 1/3 for half of the recall. 12: at 0.5 the first
# window takes the true one, above it the second does, at rank two.
FIRST = {11: 2 / 3, 12: 1.0, 1: 1.0}  # AP at 0.5
LATER = {11: 2 / 3, 12: 1 / 2, 1: 0.0}  # at 0.55 to 0.75
LAST = {11: 1 / 6, 12: 1 / 2, 1: 0.0}  # at 0.8 to 0.95
AVERAGE = {qid: (FIRST[qid] + 5 * LATER[qid] + 4 * LAST[qid]) / 10 for qid in FIRST}


def mean(by_query: dict[int, float]) -> float:
    return sum(by_query.values()) / len(by_query)


EXPECTED = {
    "R1@0.5": 1.0,
    "R1@0.7": 1 / 3,
    "mAP@0.5": mean(FIRST),
    "mAP@0.75": mean(LATER),
    "mAP": mean(AVERAGE),
    "mIoU": (0.75 + 0.5 + 0.5) / 3,
    # Over 0 and up to 10 s: 10-20 of the first query, 0-8 of the second.
    "R1@0.5, short": 1 / 2,
    "mAP@0.5, short": (1 / 3 + 1) / 2,  # 10-20 is hit at rank three
    "mAP, short": (1 / 3 + (1.0 + 9 / 2) / 10) / 2,
    # Over 10 and up to 30 s: 100-130.
    "R1@0.7, middle": 0.0,
    "mAP, middle": 0.1,
    # Over 30 s: 40-80 alone, hit at rank two up to 0.75.
    "R1@0.7, long": 1.0,
    "mAP@0.75, long": 1 / 2,
    "mAP, long": 6 / 10 / 2,
}


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    place = tmp_path / "val.jsonl"
    place.write_text("\n".join(json.dumps({**row, "duration": 150}) for row in TRUTH))
    return place


def scored(
    capsys: pytest.CaptureFixture[str], truth: Path, made: Any, *more: str
) -> tuple[dict[str, float], dict[str, Any]]:
    place = truth.parent / "submission.jsonl"
    place.write_text("\n".join(map(json.dumps, made)))
    arguments = ["qvhighlights", "--truth", str(truth), "--predictions", str(place), *more]
    assert main([*arguments, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    return {row["metric"]: row["value"] for row in content["metrics"]}, content


def submission(windows: dict[int, Any]) -> list[dict[str, Any]]:
    return [
        {
            "qid": row["qid"],
            "query": row["query"],
            "vid": row["vid"],
            "pred_relevant_windows": windows[row["qid"]],
        }
        for row in reversed(TRUTH)
        if row["qid"] in windows
    ]


def test_a_submission_has_the_scores_that_were_computed_by_hand(
    truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, content = scored(capsys, truth, submission(MADE))
    assert {name: found[name] for name in EXPECTED} == pytest.approx(EXPECTED, abs=1e-12)
    assert not any(content["problems"].values())
    assert next(row for row in content["metrics"] if row["metric"] == "mAP")["videos"] == 2
    # qid 1 is the third row: without queries and videos, ids alone have to find the right samples.
    bare = [
        {k: v for k, v in row.items() if k in ("qid", "pred_relevant_windows")} for row in submission(MADE)
    ]
    assert scored(capsys, truth, bare)[0] == found


def test_windows_are_read_with_and_without_confidences_and_from_text(
    truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {
        q: [dict(zip(("start", "end", "score"), w, strict=True)) for w in made] for q, made in MADE.items()
    }
    assert scored(capsys, truth, submission(named))[0]["mAP"] == pytest.approx(mean(AVERAGE))
    bare = {qid: [w[:2] for w in made] for qid, made in MADE.items()}
    in_order = scored(capsys, truth, submission(bare))[0]
    # 11 in its order: hit, miss, hit, so precision is 1 and 2/3.
    assert in_order["mAP@0.5"] == pytest.approx(((1 + 2 / 3) / 2 + 1 + 1) / 3)
    texts = [
        {"qid": 11, "prediction": "[[50, 80], [100, 110], [10, 20]]"},
        {"qid": 12, "prediction": '[{"start": 4.0, "end": 8.0}, {"start": 0, "end": 8}]'},
        {"qid": 1, "prediction": "It is shown from 110 to 140 seconds."},
    ]
    assert scored(capsys, truth, texts, "--bare-times", "seconds")[0] == in_order
    answers = [
        {"qid": 11, "prediction": "From 50s to 80s, 100s - 110s and 0:10 - 0:20."},
        *submission(bare)[:2],
    ]
    assert scored(capsys, truth, answers)[0] == in_order


def test_answers_without_a_window_stay_in_every_mean(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, content = scored(capsys, truth, submission({11: MADE[11], 12: []}))
    assert found["mAP@0.5"] == pytest.approx(FIRST[11] / 3)
    assert found["R1@0.5"] == pytest.approx(1 / 3)
    assert content["problems"]["samples without a prediction"] == 1
    assert content["problems"]["failures"] == 2
    # A first window without a length fails R1; the second one is still judged.
    found, content = scored(capsys, truth, submission({**MADE, 12: [[5, 5, 0.9], [0, 8, 0.8]]}))
    assert found["R1@0.5"] == pytest.approx(2 / 3)
    assert found["mAP@0.5"] == pytest.approx((FIRST[11] + 0.5 + 1) / 3)
    assert content["problems"]["failures"] == 1
    failed = {row["metric"]: row["failures"] for row in content["metrics"]}
    assert (failed["R1@0.5"], failed["mAP"]) == (1, 0)


def test_windows_of_which_only_some_have_a_confidence_are_refused(
    truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = truth.parent / "submission.jsonl"
    place.write_text(json.dumps({"qid": 11, "pred_relevant_windows": [[1, 2, 0.5], [3, 4]]}))
    assert main(["qvhighlights", "--truth", str(truth), "--predictions", str(place)]) == 2
    assert "all or none with a confidence" in capsys.readouterr().err


def test_only_ten_windows_are_judged() -> None:
    wrong = [(100.0 + n, 101.0 + n) for n in range(10)]
    assert average_precisions([(0, 10)], [*wrong[:9], (0, 10)]) == [pytest.approx(0.1)] * 10
    # The first ten as they are written, also where the eleventh is the surest.
    assert average_precisions([(0, 10)], [*wrong, (0, 10)], [0.1] * 10 + [0.9]) == [0.0] * 10


def plain_precision(
    true: Sequence[Window], made: Sequence[Window], ranks: Sequence[float], t: float
) -> float:
    """Average precision in the most literal way: every rank, every recall."""
    order = sorted(range(len(made)), key=lambda n: -ranks[n])
    left, curve, hits = list(true), [], 0
    for place, n in enumerate(order, 1):
        start, end = made[n]
        ious = []
        for one in left:
            shared = max(0.0, min(end, one[1]) - max(start, one[0]))
            ious.append(shared / (end - start + one[1] - one[0] - shared))
        if ious and max(ious) >= t:
            left.pop(ious.index(max(ious)))
            hits += 1
        curve.append((hits / len(true), hits / place))
    steps = [hit / len(true) for hit in range(1, len(true) + 1)]
    return sum(max((p for recall, p in curve if recall >= step), default=0.0) for step in steps) / len(true)


def test_average_precision_equals_a_plain_computation() -> None:
    rng = stream("windows", 1)
    for _ in range(300):
        edges = sorted(rng.choice(76, 2 * int(rng.integers(1, 6)), replace=False) * 2.0)
        true = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        made = []
        for start, end in [true[int(rng.integers(len(true)))] for _ in range(int(rng.integers(1, 9)))]:
            a, b = start + rng.normal(0, 2), end + rng.normal(0, 2)
            made.append((float(min(a, b)), float(max(a, b))))
        ranks = [float(x) for x in rng.integers(0, 5, len(made))]  # with ties
        expected = [plain_precision(true, made, ranks, t) for t in THRESHOLDS]
        assert average_precisions(true, made, ranks) == pytest.approx(expected, abs=1e-12)


def test_the_baseline_is_the_best_single_window() -> None:
    from dataclasses import replace

    from evaluation.prediction import Prediction
    from pipeline.records.sample import Sample, Task, TimeSpan, VideoRef

    video = VideoRef(path="v.mp4", num_frames=10, duration_s=100.0)
    spans = [[(0.0, 50.0)], [(0.0, 50.0), (90.0, 100.0)], [(25.0, 50.0)]]
    samples = [
        Sample(
            key=f"s/{n}", dataset="s", task=Task.TEMPORAL, video=video, turns=(),
            spans=tuple(TimeSpan(start_s=a, end_s=b, start_bin=0, end_bin=0) for a, b in group),
        )
        for n, group in enumerate(spans)
    ]  # fmt: skip
    row = benchmark_of("qvhighlights")
    assert row.baseline is not None
    constant = TimeSpan(start_s=0.0, end_s=50.0, start_bin=0, end_bin=0)
    scores = [row.score(s, Prediction(key=s.key, source="s", spans=(constant,))) for s in samples]
    found = row.baseline.values(scores)
    # 0-50 hits two exactly and 25-50 with 0.5; of two true windows it finds half.
    assert found["R1@0.5"] == 1.0
    assert found["mAP@0.5"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["mAP@0.75"] == pytest.approx((1 + 0.5) / 3)
    for measure in ("R1@0.5", "mAP@0.5", "mAP@0.75", "tIoU"):  # as an answer, this window scores the same
        assert sum(s.values[measure] for s in scores) / 3 <= found[measure] + 1e-12
    assert found["R1@0.5 short"] == 1.0  # another window is best for 90-100
    assert "R1@0.5 middle" in found
    unknown = replace(samples[0], video=replace(video, duration_s=0.0))
    assert row.baseline.values([row.score(unknown, Prediction(key="s/0", source="s"))]) == {}


def test_stored_answers_are_scored_by_every_window_in_their_text(tmp_path: Path) -> None:
    """As an evaluation scores them, with the plan's rules for times."""
    from dataclasses import replace

    from tiny_bench import sample

    from evaluation.answer_store import Answered, AnswerStore
    from evaluation.asking import entry_items
    from evaluation.prediction import Prediction
    from evaluation.report.examples import Given, example
    from evaluation.scoring import score_slice, scored_prediction, slices
    from pipeline.dataset.arrow import to_table
    from pipeline.dataset.manifest import SourceEntry, make_manifest, write_manifest
    from pipeline.dataset.reader import ShardReader
    from pipeline.dataset.writer import write_shard
    from pipeline.errors import UserError
    from pipeline.plan.data import Use
    from pipeline.plan.evaluation import BenchmarkConfig
    from pipeline.storage.location import Location

    name, out = "bench/windows", Location.parse(tmp_path / "data")
    hidden = replace(sample(name, 3), spans=(), turns=sample(name, 3).turns[:1])
    shards = [
        write_shard(out, name, 0, to_table([sample(name, n) for n in range(3)])),
        write_shard(out, "bench/hidden", 0, to_table([hidden])),
    ]
    counts = {"rejected": 0, "not_selected": 0, "rejects": {}, "media": ("/",)}
    entries = [
        SourceEntry(name=source, use=Use.BENCHMARK, read=n, kept=n, **counts)
        for source, n in ((name, 3), ("bench/hidden", 1))
    ]
    write_manifest(out, make_manifest(shards, entries, 2048))
    reader, store = ShardReader(out), AnswerStore.at(Location.parse(tmp_path), {})
    config = BenchmarkConfig.model_validate(
        {"source": name, "family": "qvhighlights", "bare_times": "seconds"}
    )
    items = entry_items(reader, config, 1)
    # Both true windows, 0.5-2 and 1.5-2 s; the second one alone; nothing.
    texts = ('[{"start": 1.5, "end": 2.0}, {"start": 0.5, "end": 2.0}]', "From 1.5 to 2 seconds.", "Never.")
    made = [
        Answered(question=item.question, prediction=Prediction(key=item.key, source=name, text=text))
        for item, text in zip(items, texts, strict=True)
    ]
    places = store.write(name, made)
    (part,) = slices(config, items, [places[item.name] for item in items])
    found = score_slice(reader, store, part).scores
    assert [score.values["mAP"] for score in found] == [1.0, 0.5, 0.0]
    assert [score.values["R1@0.7"] for score in found] == [1.0, 1.0, 0.0]
    assert [bool(score.failure) for score in found] == [False, False, True]
    one = reader.sample(name, 0)
    prediction = scored_prediction(made[0].prediction, one, config)
    given = Given(prediction=prediction, score=found[0])
    bars = example(reader, config, one, {"checkpoint": given}).spans
    assert bars.count('class="true"') == bars.count('class="made"') == 2
    assert "checkpoint: 1.5 to 2.0 s; 0.5 to 2.0 s" in bars
    with pytest.raises(UserError, match="has no true span, so its answer cannot be scored"):
        entry_items(reader, BenchmarkConfig(source="bench/hidden", family="qvhighlights"), 1)


# ------------------------------------------------------------------------------------------- real data


def test_the_real_validation_set_scores_full_marks_against_itself(
    realdata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = realdata / "qvhighlights/val.json"
    rows = json.loads(truth.read_text())
    made = tmp_path / "submission.jsonl"
    made.write_text(
        "\n".join(
            json.dumps(
                {"qid": row["qid"], "pred_relevant_windows": [[*w, 1.0] for w in row["relevant_windows"]]}
            )
            for row in rows
        )
    )
    assert main(["qvhighlights", "--truth", str(truth), "--predictions", str(made), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert not any(content["problems"].values())
    values = {row["metric"]: row for row in content["metrics"]}
    assert {name: row["samples"] for name, row in values.items() if name.startswith("mAP@0.5")} == {
        "mAP@0.5": 1550, "mAP@0.5, short": 429, "mAP@0.5, middle": 957, "mAP@0.5, long": 574,
    }  # fmt: skip
    assert values["R1@0.7"]["value"] == 1.0
    # Ten windows are judged, and some queries have up to 25.
    surplus = [min(10, len(row["relevant_windows"])) / len(row["relevant_windows"]) for row in rows]
    assert values["mAP"]["value"] == pytest.approx(sum(surplus) / len(surplus), abs=1e-12)
    assert values["mAP"]["value"] < 1


def official(folder: Path) -> ModuleType:
    """The authors' functions. They import scikit-learn for another metric."""
    import importlib.util

    sys.modules.setdefault("sklearn", ModuleType("sklearn"))
    metrics = ModuleType("sklearn.metrics")
    metrics.precision_recall_curve = None  # type: ignore[attr-defined]
    sys.modules.setdefault("sklearn.metrics", metrics)
    spec = importlib.util.spec_from_file_location("official_qv", folder / "standalone_eval/utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_numbers_of_moment_detr_are_those_of_its_authors(capsys: pytest.CaptureFixture[str]) -> None:
    home = checkout("moment_detr")
    made = home / "standalone_eval/sample_val_preds.jsonl"
    truth = home / "data/highlight_val_release.jsonl"
    assert main(["qvhighlights", "--truth", str(truth), "--predictions", str(made), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert not any(content["problems"].values())
    found = {row["metric"]: round(100 * row["value"], 2) for row in content["metrics"]}
    printed = json.loads((home / "standalone_eval/sample_val_preds_metrics_raw.json").read_text())
    for length in ("full", "short", "middle", "long"):
        name = "" if length == "full" else f", {length}"
        for threshold in ("0.5", "0.7"):
            assert found[f"R1@{threshold}{name}"] == printed[length]["MR-R1"][threshold], (length, threshold)
        for threshold in ("0.5", "0.75"):
            assert found[f"mAP@{threshold}{name}"] == printed[length]["MR-mAP"][threshold]
        assert found[f"mAP{name}"] == printed[length]["MR-mAP"]["average"]


def test_every_real_answer_has_the_precision_of_the_authors_code(realdata: Path) -> None:
    """Answers of Moment-DETR, and true windows that were moved, with confidences that are often equal."""
    import numpy as np

    home = checkout("moment_detr")
    code = official(home)
    made = {
        row["qid"]: row["pred_relevant_windows"]
        for row in map(json.loads, (home / "standalone_eval/sample_val_preds.jsonl").read_text().splitlines())
    }
    rng = stream("moved windows", 1)
    for row in json.loads((realdata / "qvhighlights/val.json").read_text()):
        true = [(float(a), float(b)) for a, b in row["relevant_windows"]]
        moved = []
        for start, end in 2 * true:
            a = start + 2 * int(rng.integers(-2, 3))
            moved.append([a, max(a + 1, end + 2 * int(rng.integers(-2, 3))), float(rng.integers(0, 3))])
        for windows in (made[int(row["qid"].removeprefix("QVHighlight_"))], moved):
            expected = code.compute_average_precision_detection(
                [{"video-id": 0, "t-start": a, "t-end": b} for a, b in true],
                [{"video-id": 0, "t-start": a, "t-end": b, "score": c} for a, b, c in windows[:10]],
                list(THRESHOLDS),
            )
            found = average_precisions(true, [(a, b) for a, b, _ in windows], [c for *_, c in windows])
            assert found == pytest.approx(list(expected), abs=1e-12), row["qid"]
            first = np.array([windows[0][:2]], float)
            best = int(np.argmax(code.compute_temporal_iou_batch_cross(first, np.array(true))[0][0]))
            iou = code.compute_temporal_iou_batch_paired(first, np.array([true[best]]))[0]
            assert first_window_iou(true, [tuple(windows[0][:2])]) == iou, row["qid"]
