"""The unsupervised protocol of DAVIS: proposals without names are matched with the true objects.

Source: Caelles et al., "The 2019 DAVIS Challenge on VOS: Unsupervised Multi-Object Segmentation" (2019), as
davis2017-evaluation computes it: J and F on all frames, void pixels taken out of both masks, one proposal for
each object so that the sum of their mean (J + F) / 2 is largest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from evaluation.metrics.masks import pair_j_and_f

MAX_PROPOSALS = 20


class Frame(NamedTuple):
    """Masks [H, W] of one frame; anything non-zero is inside. ``void_HW`` is None where there is none."""

    proposals: Sequence[np.ndarray]
    truths: Sequence[np.ndarray]
    void_HW: np.ndarray | None = None


class Matched(NamedTuple):
    """J and F of every true object [objects, frames], each with the proposal that it got."""

    j: np.ndarray
    f: np.ndarray


def without_overlap(masks: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Masks [H, W] bool of which each pixel has one at most, the first; and the pixels that each lost.

    What an argmax over the masks' scores makes of scores of 0 and 1.
    """
    out: list[np.ndarray] = []
    lost: list[int] = []
    taken = np.zeros(masks[0].shape, bool) if masks else np.zeros((0, 0), bool)
    for mask in masks:
        inside = mask != 0
        out.append(inside & ~taken)
        lost.append(int((inside & taken).sum()))
        taken |= inside
    return out, lost


def match(frames: Iterable[Frame]) -> Matched:
    """Scores of a sequence's objects, in the order of the truths; every frame has the same of both.

    Where there are fewer proposals than objects, empty ones are added. Raises ValueError for more proposals
    than the protocol allows, and for masks of different sizes in one frame.
    """
    from scipy.optimize import linear_sum_assignment

    found = []
    for proposals, truths, void_HW in frames:
        if len(proposals) > MAX_PROPOSALS:
            raise ValueError(f"{len(proposals)} proposals; the protocol allows {MAX_PROPOSALS}")
        if not truths:
            return Matched(np.zeros((0, 0)), np.zeros((0, 0)))
        nothing = [np.zeros(truths[0].shape, bool)] * (len(truths) - len(proposals))
        found.append(pair_j_and_f([*proposals, *nothing], truths, void_HW))
    j_PTF, f_PTF = np.ascontiguousarray(np.moveaxis(np.array(found), 0, 2).transpose(3, 0, 1, 2))
    means_PT = (j_PTF.mean(axis=2) + f_PTF.mean(axis=2)) / 2
    chosen, objects = linear_sum_assignment(-means_PT)
    chosen = chosen[np.argsort(objects)]
    order = np.arange(len(chosen))
    return Matched(j_PTF[chosen, order], f_PTF[chosen, order])
