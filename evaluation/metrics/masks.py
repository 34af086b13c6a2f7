"""Region similarity J and boundary measure F of the DAVIS benchmark.

Definition: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(CVPR 2016), with the choices behind its published numbers: boundaries one pixel wide and shifted half a
pixel towards the origin, a tolerance of ``ceil(0.008 * diagonal)`` pixels, a round neighbourhood. Both are
ratios of numbers of pixels, computed as davis2017-evaluation does, and equal to its results in every digit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from evaluation.metrics import bitmasks

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
    return pair_j_and_f([prediction_HW], [truth_HW], void_HW)[0][0]


def pair_j_and_f(
    predictions: Sequence[np.ndarray], truths: Sequence[np.ndarray], void_HW: np.ndarray | None = None
) -> list[list[JF]]:
    """J and F of every prediction [H, W] (row) with every truth [H, W] (column) of one frame.

    The work for a single mask is done once. Inside, void and errors are as for ``j_and_f``.
    """
    given = [*predictions, *truths]
    shape = _one_shape(given if void_HW is None else [*given, void_HW])
    if given and given[-1].flags.f_contiguous:  # as masks come out of an RLE; J and F know no up or left
        given, shape = [mask.T for mask in given], shape[::-1]
        void_HW = None if void_HW is None else void_HW.T
    found = _measure(given, shape, void_HW)
    return [[_compare(p, t) for t in found[len(predictions) :]] for p in found[: len(predictions)]]


def tolerance(height: int, width: int) -> int:
    """Distance in pixels at which two boundaries still match."""
    return math.ceil(BOUND * math.hypot(height, width))


def boundary(mask_HW: np.ndarray) -> np.ndarray:
    """One-pixel boundary [H, W] bool: a pixel that differs from its right, lower or lower-right neighbour.

    The last row and column are repeated beyond the image, so its border is not a boundary.
    """
    height = len(mask_HW)
    bits = bitmasks.pack(mask_HW, bitmasks.rows_of_band(height, 0))
    return bitmasks.unpack(bitmasks.boundary(bits, height), height)


class _Mask(NamedTuple):
    """A mask, its boundary, and all within the tolerance of that, packed; ``area``, ``length``: pixels."""

    inside: np.ndarray
    edge: np.ndarray
    near: np.ndarray
    area: int
    length: int


def _one_shape(masks: Sequence[np.ndarray]) -> tuple[int, int]:
    shapes = sorted({mask.shape for mask in masks})
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"masks of one frame must have one size [H, W], not {', '.join(map(str, shapes))}")
    return shapes[0] if shapes else (0, 0)


def _measure(masks: Sequence[np.ndarray], shape: tuple[int, int], void_HW: np.ndarray | None) -> list[_Mask]:
    height, radius = shape[0], tolerance(*shape)
    rows = bitmasks.rows_of_band(height, radius)
    inside = [bitmasks.pack(mask, rows) for mask in masks]
    if void_HW is not None:
        kept = ~bitmasks.pack(void_HW, rows)
        inside = [bits & kept for bits in inside]
    edges = [bitmasks.boundary(bits, height) for bits in inside]
    window = _columns(edges)
    found = []
    for bits, whole_edge in zip(inside, edges, strict=True):
        edge = np.ascontiguousarray(whole_edge[:, window])
        near = bitmasks.grow(edge, radius)
        found.append(_Mask(bits, edge, near, bitmasks.count(bits), bitmasks.count(edge)))
    return found


def _columns(edges: Sequence[np.ndarray]) -> slice:
    """The columns that hold boundaries of any mask; no other column is needed."""
    if not edges:
        return slice(0)
    held = np.flatnonzero(np.bitwise_or.reduce(reduce(np.bitwise_or, edges), axis=0))
    return slice(held[0], held[-1] + 1) if held.size else slice(0)


def _compare(prediction: _Mask, truth: _Mask) -> JF:
    both = bitmasks.count(prediction.inside & truth.inside)
    union = prediction.area + truth.area - both
    return JF(both / union if union else 1.0, _boundary_f(prediction, truth))


def _boundary_f(prediction: _Mask, truth: _Mask) -> float:
    if not prediction.length or not truth.length:
        return float(prediction.length == truth.length)
    precision = bitmasks.count(prediction.edge & truth.near) / prediction.length
    recall = bitmasks.count(truth.edge & prediction.near) / truth.length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
