"""J and F against golden numbers, real predictions and the plain definition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.plain_masks import plain_j_and_f
from evaluation.metrics import masks
from pipeline.records.masks import decode


def test_golden_cases(golden: Path) -> None:
    cases = json.loads((golden / "metrics" / "mask_cases.json").read_text())
    assert len(cases) == 45
    for case in cases:
        size = case["height"], case["width"]
        found = masks.j_and_f(decode(case["prediction"], *size), decode(case["truth"], *size))
        assert found == pytest.approx((case["J"], case["F"]), abs=1e-9), case["kind"]


def test_real_davis_predictions(realdata: Path) -> None:
    made, true = realdata / "davis2017_val_predictions", realdata / "davis2016_val_480p"
    wanted = json.loads((made / "golden_JF.json").read_text())["union_foreground_vs_davis2016_gt"]
    for sequence, entry in wanted.items():
        found = []
        for number in range(0, entry["frames"], 3):  # a third of the frames: the test stays short
            name = f"{sequence}/{number:05d}.png"
            prediction = np.asarray(Image.open(made / "osvos" / name))
            truth = np.asarray(Image.open(true / "Annotations" / "480p" / name))
            found.append(masks.j_and_f(prediction, truth))
        j, f = zip(*found, strict=True)
        assert j == pytest.approx(entry["osvos"]["J_per_frame"][::3], abs=6e-7), sequence
        assert f == pytest.approx(entry["osvos"]["F_per_frame"][::3], abs=6e-7), sequence


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    shares=st.tuples(st.sampled_from([0, 0.02, 0.3, 0.7, 1]), st.sampled_from([0, 0.02, 0.3, 0.7, 1])),
    seed=st.integers(0, 999),
)
def test_equals_the_plain_definition(height: int, width: int, shares: tuple[float, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, truth = (rng.random((height, width)) < share for share in shares)
    assert masks.j_and_f(prediction, truth) == pytest.approx(plain_j_and_f(prediction, truth), abs=1e-12)


def test_empty_masks() -> None:
    nothing, something = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    something[5:9, 5:9] = 1
    assert masks.j_and_f(nothing, nothing) == (1.0, 1.0)
    assert masks.j_and_f(nothing, something) == (0.0, 0.0)
    assert masks.j_and_f(something, nothing) == (0.0, 0.0)
    assert masks.j_and_f(np.ones((20, 30)), np.ones((20, 30))) == (1.0, 1.0)  # a full frame has no boundary


def test_void_pixels_are_in_neither_mask() -> None:
    truth, prediction, void = np.zeros((3, 40, 40), np.uint8)
    truth[10:20, 10:20] = 1
    prediction[10:20, 10:30] = 1
    void[:, 20:] = 1
    assert masks.j_and_f(prediction, truth).j == 0.5
    assert masks.j_and_f(prediction, truth, void) == (1.0, 1.0)


def test_another_size_is_refused_not_resized() -> None:
    with pytest.raises(ValueError, match="one size"):
        masks.j_and_f(np.ones((10, 10)), np.ones((20, 20)))


def test_any_value_is_inside() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[2:5, 2:5] = 255
    assert masks.j_and_f(mask, mask > 0) == (1.0, 1.0)
