"""Spans: rules for failures, and one model's real predictions on Charades-STA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.metrics import temporal
from pipeline.records.sample import TimeSpan


def span(start: float, end: float, bins: tuple[int, int] = (1, 2)) -> TimeSpan:
    return TimeSpan(start_s=start, end_s=end, start_bin=bins[0], end_bin=bins[1])


def test_missing_reversed_and_empty_spans_score_zero_and_are_failures() -> None:
    truth = span(2, 4)
    assert temporal.span_iou(None, truth) == 0
    assert temporal.span_iou(span(4, 2), truth) == 0
    assert temporal.span_iou(span(3, 3), truth) == 0
    assert temporal.span_iou(span(3, 5), truth) == pytest.approx(1 / 3)
    assert temporal.span_failure(()) is not None
    assert temporal.span_failure((span(4, 2, (40, 20)),)) is not None
    assert temporal.span_failure((span(3, 3, (30, 30)),)) is not None
    assert temporal.span_failure((span(2, 3, (20, 30)),)) is None
    short = span(2.0, 2.1, (20, 20))  # shorter than a bin, but written in seconds
    assert temporal.span_failure((short,)) is None


def test_published_threshold_is_strict() -> None:
    assert [temporal.passes(iou, 0.5) for iou in (0.5, 0.6, 0.1)] == [0, 1, 0]
    assert [temporal.passes(iou, 0.5, strict=False) for iou in (0.5, 0.6, 0.1)] == [1, 1, 0]


@pytest.mark.parametrize("rule", ["raw_ends", "clipped_ends_test_float"])
def test_metrics_of_real_charades_predictions_are_the_official_ones(realdata: Path, rule: str) -> None:
    folder = realdata / "charades_sta"
    expected = json.loads((folder / "golden_metrics.json").read_text())[f"{rule}/iou"]
    predictions = json.loads((folder / "predictions" / "results.json").read_text())
    ious = []
    for video, query, (start, end) in _truths(folder, rule):
        found = predictions[video][query]
        ious.append(temporal.span_iou(span(found["start"], found["end"]), span(start, end)))
    assert len(ious) == expected["n"] == 3720
    assert 100 * sum(ious) / len(ious) == pytest.approx(expected["mIoU"], abs=1e-9)
    for threshold in (0.3, 0.5, 0.7):
        for name, strict in (("gt", True), ("ge", False)):
            found = 100 * sum(temporal.passes(iou, threshold, strict) for iou in ious) / len(ious)
            assert found == pytest.approx(expected[name][str(threshold)], abs=1e-9), (threshold, name)


def _truths(folder: Path, rule: str) -> list[tuple[str, str, list[float]]]:
    if rule == "raw_ends":
        database = json.loads((folder / "charades_sta_test.json").read_text())["database"]
        return [(v, a["label"], a["segment"]) for v, entry in database.items() for a in entry["annotations"]]
    rows = json.loads((folder / "test_float.json").read_text())
    return [(row["video"], row["query"], row["relevant_windows"][0]) for row in rows]
