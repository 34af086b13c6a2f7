"""J and F against golden numbers, real predictions and the plain definition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from benchmarks.plain_masks import disk, plain_boundary, plain_j_and_f
from evaluation.metrics import bitmasks, masks
from pipeline.records.masks import decode

SIZES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 5), st.integers(100, 1300)),  # the tolerance is larger than the height
    st.tuples(st.integers(57, 140), st.integers(1, 9)),  # around one and two bands of eight rows
)
KINDS = ("empty", "full", "one pixel", "noise", "dense", "dust", "box", "border")


def random_mask(kind: str, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A mask [H, W] bool of one of KINDS."""
    mask = np.zeros((height, width), bool)
    y, x = np.sort(rng.integers(0, height, 2)), np.sort(rng.integers(0, width, 2))
    match kind:
        case "full":
            mask[:] = True
        case "one pixel":
            mask[y[0], x[0]] = True
        case "noise" | "dense" | "dust":
            mask = rng.random(mask.shape) < {"noise": 0.3, "dense": 0.7, "dust": 0.02}[kind]
        case "box":
            mask[y[0] : y[1] + 1, x[0] : x[1] + 1] = True
        case "border":
            mask[y[1] :], mask[:, x[1] :] = True, True
    return mask


def test_j_and_f_agree_with_the_golden_cases(golden: Path) -> None:
    cases = json.loads((golden / "metrics" / "mask_cases.json").read_text())
    assert len(cases) == 45
    for case in cases:
        size = case["height"], case["width"]
        found = masks.j_and_f(decode(case["prediction"], *size), decode(case["truth"], *size))
        assert found == pytest.approx((case["J"], case["F"]), abs=1e-9), case["kind"]


def test_j_and_f_of_real_davis_predictions_are_the_official_ones(realdata: Path) -> None:
    predicted, true = realdata / "davis2017_val_predictions", realdata / "davis2016_val_480p"
    expected = json.loads((predicted / "golden_JF.json").read_text())["union_foreground_vs_davis2016_gt"]
    for sequence, entry in expected.items():
        found = []
        for number in range(entry["frames"]):
            name = f"{sequence}/{number:05d}.png"
            prediction = np.asarray(Image.open(predicted / "osvos" / name))
            truth = np.asarray(Image.open(true / "Annotations" / "480p" / name))
            found.append(masks.j_and_f(prediction, truth))
        j, f = zip(*found, strict=True)
        assert [round(v, 6) for v in j] == entry["osvos"]["J_per_frame"], sequence
        assert [round(v, 6) for v in f] == entry["osvos"]["F_per_frame"], sequence
        # the means are stored with all digits
        assert np.mean(j) == pytest.approx(entry["osvos"]["J_all_frames"], rel=1e-14), sequence
        assert np.mean(f) == pytest.approx(entry["osvos"]["F_all_frames"], rel=1e-14), sequence


@settings(max_examples=300, deadline=None)
@given(
    size=SIZES,
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    columns_first=st.booleans(),
    seed=st.integers(0, 999),
)
def test_j_and_f_equal_their_plain_definition(
    size: tuple[int, int], kinds: tuple[str, str], columns_first: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    prediction, truth = (random_mask(kind, *size, rng) for kind in kinds)
    if columns_first:  # the memory order of masks that are decoded from RLE
        prediction, truth = np.asfortranarray(prediction), np.asfortranarray(truth)
    assert masks.j_and_f(prediction, truth) == plain_j_and_f(prediction, truth)
    assert np.array_equal(masks.boundary(truth), plain_boundary(truth))


@settings(max_examples=200, deadline=None)
@given(size=SIZES, kind=st.sampled_from(KINDS), radius=st.integers(1, 25), seed=st.integers(0, 999))
def test_growing_is_a_dilation_by_a_disk(size: tuple[int, int], kind: str, radius: int, seed: int) -> None:
    mask = random_mask(kind, *size, np.random.default_rng(seed))
    bits = bitmasks.pack(mask, bitmasks.rows_of_band(size[0], radius))
    assert np.array_equal(bitmasks.unpack(bits, size[0]), mask)
    assert bitmasks.count(bits) == mask.sum()
    grown = bitmasks.unpack(bitmasks.grow(bits, radius), size[0])
    assert np.array_equal(grown, ndimage.binary_dilation(mask, disk(radius)))


@settings(max_examples=60, deadline=None)
@given(
    size=SIZES,
    predicted=st.lists(st.sampled_from(KINDS), max_size=4),
    true=st.lists(st.sampled_from(KINDS), max_size=3),
    void=st.one_of(st.none(), st.sampled_from(KINDS)),
    columns_first=st.booleans(),
    seed=st.integers(0, 999),
)
def test_pairwise_scores_equal_those_of_each_pair_alone(
    size: tuple[int, int],
    predicted: list[str],
    true: list[str],
    void: str | None,
    columns_first: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    predictions, truths = ([random_mask(kind, *size, rng) for kind in kinds] for kinds in (predicted, true))
    void_HW = None if void is None else random_mask(void, *size, rng)
    kept = True if void_HW is None else ~void_HW
    if columns_first:
        predictions, truths = ([np.asfortranarray(mask) for mask in some] for some in (predictions, truths))
    assert masks.pair_j_and_f(predictions, truths, void_HW) == [
        [plain_j_and_f(p & kept, t & kept) for t in truths] for p in predictions
    ]


def test_void_pixels_of_a_label_image_do_not_count(realdata: Path) -> None:
    """Real DAVIS labels with void 255: void belongs to no object, and does not lower a right answer."""
    folder = (
        realdata / "davis_interactive_testdata" / "test_data" / "DAVIS" / "Annotations" / "480p" / "tennis"
    )
    labels = np.asarray(Image.open(folder / "00000.png"))
    void = labels == 255
    assert void.any()
    truths = [labels == number for number in (1, 2)]
    found = masks.pair_j_and_f([truths[1], truths[0] | void], truths, void)
    assert found[0][1] == found[1][0] == (1.0, 1.0)
    assert found[0][0] == plain_j_and_f(truths[1], truths[0])


def test_two_empty_masks_score_one_and_a_single_one_scores_zero() -> None:
    nothing, something = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    something[5:9, 5:9] = 1
    assert masks.j_and_f(nothing, nothing) == (1.0, 1.0)
    assert masks.j_and_f(nothing, something) == (0.0, 0.0)
    assert masks.j_and_f(something, nothing) == (0.0, 0.0)
    assert masks.j_and_f(np.ones((20, 30)), np.ones((20, 30))) == (1.0, 1.0)  # a full frame has no boundary


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0)])
def test_a_frame_without_pixels_scores_one(shape: tuple[int, int]) -> None:
    assert masks.j_and_f(np.ones(shape), np.ones(shape)) == (1.0, 1.0)
    assert masks.boundary(np.ones(shape)).shape == shape


def test_void_pixels_are_in_neither_mask() -> None:
    truth, prediction, void = np.zeros((3, 40, 40), np.uint8)
    truth[10:20, 10:20] = 1
    prediction[10:20, 10:30] = 1
    void[:, 20:] = 1
    assert masks.j_and_f(prediction, truth).j == 0.5
    assert masks.j_and_f(prediction, truth, void) == (1.0, 1.0)


def test_masks_of_different_sizes_are_refused_not_resized() -> None:
    with pytest.raises(ValueError, match="one size"):
        masks.j_and_f(np.ones((10, 10)), np.ones((20, 20)))
    with pytest.raises(ValueError, match="one size"):
        masks.pair_j_and_f([np.ones((10, 10))], [np.ones((10, 10))], np.ones((10, 20)))


def test_every_nonzero_value_is_foreground() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[2:5, 2:5] = 255
    assert masks.j_and_f(mask, mask > 0) == (1.0, 1.0)
    assert masks.j_and_f(mask * 0.5, mask > 0) == (1.0, 1.0)
