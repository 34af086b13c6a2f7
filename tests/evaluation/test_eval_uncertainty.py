"""Standard errors and intervals: by hand, against simulation, and on a model's real answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.benchmarks.baselines import CHANCE, CONSTANT_MASK, CONSTANT_SPAN
from evaluation.metrics.aggregate import Metric, Over, Score, rows
from evaluation.metrics.uncertainty import (
    clustered_error,
    clusters_of,
    difference_interval,
    mean_interval,
    ratio_interval,
)
from pipeline.times import temporal


def score(number: int, video: str, value: float, category: str = "", weight: float = 1.0) -> Score:
    return Score(key=str(number), video=video, values={"a": value}, category=category, weights={"a": weight})


def test_the_clustered_error_of_a_mean_agrees_with_a_computation_by_hand() -> None:
    """Two videos of 1, 1 and 0, 1: mean 3/4, sums of residuals 1/2 and -1/2, so sqrt(2 * 1/2) / 4."""
    values, clusters = np.array([1.0, 1, 0, 1]), clusters_of(["x", "x", "y", "y"])
    assert clusters.tolist() == [0, 0, 1, 1]
    assert clustered_error(values, clusters) == pytest.approx(np.sqrt(2 * (0.25 + 0.25)) / 4)
    assert clustered_error(values, clusters_of(["", "", "", ""])) == pytest.approx(
        np.std(values, ddof=1) / np.sqrt(4)
    )
    assert clustered_error(values, clusters_of(["x"] * 4)) is None
    assert clustered_error(np.array([]), clusters_of([])) is None


def test_the_clustered_error_is_the_spread_of_simulated_means() -> None:
    """Videos of two to six questions that succeed together: the error is the spread of the means."""
    rng = np.random.default_rng(3)
    means, errors, pooled = [], [], []
    for _ in range(300):
        sizes = rng.integers(2, 7, 60)
        clusters = np.repeat(np.arange(60), sizes)
        values = (rng.random(len(clusters)) < rng.beta(0.6, 0.4, 60)[clusters]).astype(float)
        means.append(values.mean())
        errors.append(clustered_error(values, clusters))
        pooled.append(values.std() / np.sqrt(len(values)))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.12)
    assert np.mean(pooled) < 0.75 * np.std(means), "the error of independent samples is too small"


def test_a_mean_of_categories_has_the_interval_of_its_error() -> None:
    rng = np.random.default_rng(5)
    scores = [
        score(n, f"v{n // 3}", float(rng.random() < (0.3 if n % 2 else 0.8)), "odd" if n % 2 else "even")
        for n in range(600)
    ]
    [row, *_] = rows("b", (Metric(name="A", measure="a", over=Over.CATEGORIES),), scores)
    assert row.error is not None
    assert row.low is not None
    assert row.high is not None
    assert (row.high - row.low) / 2 == pytest.approx(1.96 * row.error, rel=0.1)
    assert row.low < row.value < row.high
    assert row.videos == 200


def test_a_category_of_one_video_leaves_the_error_of_the_mean_unknown() -> None:
    """Its residual is zero, so the error would be too small, and 0.00 where every category is like that."""
    scores = [score(n, f"v{n % 2}", 1.0, "even" if n % 2 else "odd") for n in range(8)]
    [row, *_] = rows("b", (Metric(name="A", measure="a", over=Over.CATEGORIES),), scores)
    assert (row.value, row.error, row.low) == (1.0, None, None)


def test_a_pooled_mean_counts_frames_and_resamples_videos() -> None:
    scores = [score(n, f"v{n}", n % 2, weight=1 + 9 * (n % 2)) for n in range(40)]
    [row] = rows("b", (Metric(name="A", measure="a", over=Over.WEIGHTS),), scores)
    assert row.value == pytest.approx(10 / 11)
    assert row.low is not None
    assert 0.8 < row.low < row.value
    again = rows("b", (Metric(name="A", measure="a", over=Over.WEIGHTS),), scores)
    assert again == [row], "resamples are drawn by name"


def test_a_category_that_a_resample_misses_is_left_out() -> None:
    hot = np.eye(2)[[0, 0, 0, 1]]
    found = ratio_interval(hot * 0.5, hot, np.arange(4), "x")
    assert found is not None
    assert found == pytest.approx((0.5, 0.5))


def test_one_video_has_no_error() -> None:
    [row] = rows("b", (Metric(name="A", measure="a"),), [score(0, "v", 1.0), score(1, "v", 0.0)])
    assert (row.error, row.low, row.high, row.videos) == (None, None, None, 1)
    assert mean_interval(0.5, None, 1) is None


def test_a_metric_may_count_only_some_categories() -> None:
    scores = [score(n, str(n), float(n == 0), "odd" if n % 2 else "even") for n in range(4)]
    [row, *_] = rows("b", (Metric(name="A", measure="a", categories=("even",)),), scores)
    assert (row.value, row.samples) == (0.5, 2)


def test_the_error_of_real_answers_is_clustered_by_video(realdata: Path) -> None:
    """Charades-STA, 3,720 queries about 1,334 videos: the error of independent samples is too small."""
    truth = json.loads((realdata / "charades_sta/charades_sta_test.json").read_text())["database"]
    predictions = json.loads((realdata / "charades_sta/predictions/results.json").read_text())
    golden = json.loads((realdata / "charades_sta/golden_metrics.json").read_text())["raw_ends/iou"]
    passed, videos = [], []
    for video, entry in truth.items():
        for query in entry["annotations"]:
            found = predictions[video][query["label"]]
            iou = temporal.iou((found["start"], found["end"]), tuple(query["segment"]))
            passed.append(float(iou > 0.5))
            videos.append(video)
    values = np.array(passed)
    assert (len(values), len(set(videos))) == (3720, 1334)
    assert 100 * values.mean() == pytest.approx(golden["gt"]["0.5"], abs=1e-9)
    error = clustered_error(values, clusters_of(videos))
    by_hand = np.sqrt(
        1334
        / 1333
        * sum((values[np.array(videos) == v] - values.mean()).sum() ** 2 for v in dict.fromkeys(videos))
    )
    assert error == pytest.approx(by_hand / 3720, rel=1e-9)
    naive = values.std() / np.sqrt(3720)
    print(f"R@0.5 {100 * values.mean():.2f}: clustered {100 * error:.3f}, samples as draws {100 * naive:.3f}")
    assert error > 1.2 * naive


def test_baselines_are_chance_and_the_best_constant_answers() -> None:
    choices = [
        Score(key=str(n), values={"accuracy": 1.0, "accuracy x": 0.0}, truth={"options": n}) for n in (2, 4)
    ]
    assert CHANCE.values(choices) == {"accuracy": 0.375, "accuracy x": 0.375}
    spans = [
        Score(key="", values={"tIoU": 0.0, "R@0.5": 0.0}, truth={"start": start, "end": end})
        for start, end in ((0.0, 0.5), (0.0, 0.5), (0.5, 1.0))
    ]
    found = CONSTANT_SPAN.values(spans)
    assert found["R@0.5"] == pytest.approx(2 / 3)
    assert found["tIoU"] == pytest.approx(2 / 3)
    assert set(found) == {"tIoU", "R@0.5"}
    masks = [
        Score(
            key="",
            values={"J": 0.0, "F": 0.0, "J&F": 0.0},
            truth={"empty J": 0.25, "empty F": 0.25, "full J": 0.4, "full F": 0.25},
        )
    ]
    assert CONSTANT_MASK.values(masks) == pytest.approx({"J": 0.4, "F": 0.25, "J&F": 0.325})


def test_an_interval_stays_within_the_bounds() -> None:
    # By hand: the logit of 0.9 is 2.19722, and 1.95996 * 0.06 / (0.9 * 0.1) is 1.30664.
    assert mean_interval(0.9, 0.06, 1) == pytest.approx((0.709010, 0.970798), abs=1e-5)
    assert mean_interval(4.5, 0.3, 5) == pytest.approx((3.545051, 4.853988), abs=1e-5)
    assert mean_interval(0.5, 0.01, 1) == pytest.approx((0.5 - 0.0196, 0.5 + 0.0196), abs=1e-4)
    assert mean_interval(0.999, 0.5, 1) == pytest.approx((0, 1), abs=1e-3)
    assert mean_interval(1.0, 0.0, 1) == (1.0, 1.0)
    assert difference_interval(0.25, 0.1, 1) == pytest.approx((0.25 - 0.195996, 0.25 + 0.195996), abs=1e-5)
    assert difference_interval(0.25, 0.75, 1) == (-1, 1)
    assert difference_interval(-4.5, 1.0, 5) == (-5, pytest.approx(-4.5 + 1.959964))
