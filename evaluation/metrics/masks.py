"""Region similarity J and boundary measure F of the DAVIS benchmark.

Definition: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016), with the choices that its published numbers rest on: boundaries one pixel wide and shifted half a
pixel towards the origin, a tolerance of ``ceil(0.008 * diagonal)`` pixels, a round neighbourhood.

Both are computed on the smallest window that holds both masks: outside it there is neither mask nor boundary,
so the numbers are the same, and a frame costs what its object costs.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

BOUND = 0.008  # tolerance of F as a share of the image diagonal


class JF(NamedTuple):
    """Both measures of one frame, each in 0-1."""

    j: float
    f: float


def j_and_f(prediction_HW: np.ndarray, truth_HW: np.ndarray, void_HW: np.ndarray | None = None) -> JF:
    """J and F of one frame.

    Anything non-zero is inside. Pixels of ``void_HW`` are taken out of both masks first.

    Raises ValueError if the masks differ in size: they are never resized here, because a resized mask is
    another prediction.
    """
    prediction, truth = _window(*_inside(prediction_HW, truth_HW, void_HW))
    return JF(_jaccard(prediction, truth), _boundary_f(prediction, truth, tolerance(*truth_HW.shape)))


def tolerance(height: int, width: int) -> int:
    """Distance in pixels at which two boundaries still match."""
    return math.ceil(BOUND * math.hypot(height, width))


def boundary(mask_HW: np.ndarray) -> np.ndarray:
    """One-pixel boundary [H, W] bool: a pixel that differs from its right, lower or lower-right neighbour.

    Beyond the last row and column the image goes on as it ends, so its border is not a boundary.
    """
    mask = mask_HW.astype(bool, copy=False)
    edge = np.zeros(mask.shape, bool)
    edge[:, :-1] = mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _inside(
    prediction_HW: np.ndarray, truth_HW: np.ndarray, void_HW: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    shapes = {m.shape for m in (prediction_HW, truth_HW, void_HW) if m is not None}
    if len(shapes) > 1 or truth_HW.ndim != 2:
        raise ValueError(
            f"masks of one frame must have one size [H, W], not {', '.join(map(str, sorted(shapes)))}"
        )
    prediction, truth = prediction_HW != 0, truth_HW != 0
    if void_HW is not None:
        kept = void_HW == 0
        prediction, truth = prediction & kept, truth & kept
    return prediction, truth


def _window(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks cut to where either is set, with the one pixel around it that boundaries can reach."""
    either = prediction | truth
    rows = np.flatnonzero(either.any(axis=1))
    if not rows.size:
        return prediction[:0, :0], truth[:0, :0]
    top, bottom = max(rows[0] - 1, 0), rows[-1] + 2
    columns = np.flatnonzero(either[rows[0] : rows[-1] + 1].any(axis=0))
    left, right = max(columns[0] - 1, 0), columns[-1] + 2
    return prediction[top:bottom, left:right], truth[top:bottom, left:right]


def _jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    union = np.count_nonzero(prediction | truth)
    return float(np.count_nonzero(prediction & truth) / union) if union else 1.0


def _boundary_f(prediction: np.ndarray, truth: np.ndarray, radius: int) -> float:
    predicted, true = boundary(prediction), boundary(truth)
    num_predicted, num_true = np.count_nonzero(predicted), np.count_nonzero(true)
    if not num_predicted and not num_true:
        return 1.0
    if not num_predicted or not num_true:
        return 0.0
    precision = np.count_nonzero(predicted & _grown(true, radius)) / num_predicted
    recall = np.count_nonzero(true & _grown(predicted, radius)) / num_true
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@lru_cache(maxsize=64)
def _disk_rows(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Row offsets of a disk and its half width in each of them."""
    offsets = np.arange(-radius, radius + 1)
    return offsets, np.array([math.isqrt(radius * radius - int(dy) ** 2) for dy in offsets])


def _grown(edge_HW: np.ndarray, radius: int) -> np.ndarray:
    """Dilation by a disk. A boundary has few pixels, so each adds the ends of the disk's rows instead.

    Every pixel opens 2 * radius + 1 horizontal runs; a running sum along each row then tells what is covered.
    """
    height, width = edge_HW.shape
    offsets, half_widths = _disk_rows(radius)
    y, x = np.nonzero(edge_HW)
    rows = y[:, None] + offsets
    kept = (rows >= 0) & (rows < height)
    starts = np.maximum(x[:, None] - half_widths, 0)
    stops = np.minimum(x[:, None] + half_widths + 1, width)
    stride = width + 1  # one more column, where runs that reach the border end
    opened = np.bincount((rows * stride + starts)[kept], minlength=height * stride)
    closed = np.bincount((rows * stride + stops)[kept], minlength=height * stride)
    return np.cumsum((opened - closed).reshape(height, stride), axis=1)[:, :-1] > 0
