"""Several windows of time per query: average precision and the first window, as QVHighlights defines them.

The rules are those of its authors' evaluation (https://github.com/jayleicn/moment_detr, standalone_eval):
an IoU that equals the threshold counts, at most ten windows of an answer are judged, and the first window as
it was written is the answer of R1, whatever its confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.times import temporal

Window = tuple[float, float]  # start and end, in any one unit
THRESHOLDS: Final = tuple(round(0.5 + 0.05 * n, 2) for n in range(10))
JUDGED: Final = 10  # windows of an answer
R1: Final = (0.5, 0.7)  # the thresholds of the numbers that are reported
AP: Final = (0.5, 0.75)
# Name -> seconds: true windows that are longer than the first number and at most as long as the second.
LENGTHS: Final = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0)}


def of_length(seconds: float, length: str) -> bool:
    """Whether a true window is of a kind in LENGTHS; any is where there is none."""
    if not length:
        return True
    least, most = LENGTHS[length]
    return least < seconds <= most


def average_precisions(
    true: Sequence[Window], made: Sequence[Window], confidences: Sequence[float] = ()
) -> list[float]:
    """AP at each of THRESHOLDS, 0-1, of the first JUDGED windows of an answer.

    ``confidences`` rank the windows, equal ones in their order; without any the order is the rank. A window
    takes the true one that it overlaps most and that no window of a better rank has taken.
    """
    made = made[:JUDGED]
    ranks = list(range(len(made)))
    if confidences:
        ranks.sort(key=lambda n: -confidences[n])
    # By rank: the true windows that could be hit at the lowest threshold, the best first.
    overlaps = [_overlaps(made[n], true) for n in ranks]
    if not any(overlaps):
        return [0.0] * len(THRESHOLDS)
    return [_precision(_hits(overlaps, threshold), len(true)) for threshold in THRESHOLDS]


def first_window_iou(true: Sequence[Window], made: Sequence[Window]) -> float:
    """IoU of the first window of an answer with the true one that it overlaps most; 0 without a window."""
    if not made:
        return 0.0
    first = made[0]
    best = max(true, key=lambda window: temporal.iou(first, window))
    # The authors divide by the hull, which is the union of two windows that overlap; rounding may differ.
    shared = max(0.0, min(first[1], best[1]) - max(first[0], best[0]))
    hull = max(first[1], best[1]) - min(first[0], best[0])
    return shared / hull if hull else 0.0


def _overlaps(window: Window, true: Sequence[Window]) -> list[tuple[float, int]]:
    found = [(temporal.iou(window, one), n) for n, one in enumerate(true)]
    return sorted((pair for pair in found if pair[0] >= THRESHOLDS[0]), reverse=True)


def _hits(overlaps: Sequence[Sequence[tuple[float, int]]], threshold: float) -> list[bool]:
    """By rank, whether a window hits a true one of its own."""
    taken: set[int] = set()
    hits = []
    for pairs in overlaps:
        hit = next((n for iou, n in pairs if iou >= threshold and n not in taken), None)
        hits.append(hit is not None)
        if hit is not None:
            taken.add(hit)
    return hits


def _precision(hits: Sequence[bool], count: int) -> float:
    """Area below the curve of the best precision at each recall or a higher one (Pascal VOC 2011)."""
    precisions, found = [], 0
    for rank, hit in enumerate(hits, 1):
        found += hit
        precisions.append(found / rank)
    best, area = 0.0, 0.0
    for hit, precision in zip(reversed(hits), reversed(precisions), strict=True):
        best = max(best, precision)
        area += best / count if hit else 0.0
    return area
