"""The score of an answer that does not look at the video: a guess, or the best constant answer.

A number means little without it: if most events last half of their video, "all of it" has a tIoU of 50%.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evaluation.metrics.aggregate import Baseline, Score, by_category

if TYPE_CHECKING:
    import numpy as np

_STEPS = 20  # starts and ends of constant spans, as parts of the video
_MASKS = ("empty", "full")


def _chance(scores: Sequence[Score]) -> dict[str, float]:
    """Each option is as likely as another; a rule for reading answers makes no difference."""
    shares = [1 / s.truth["options"] for s in scores if s.truth.get("options")]
    if not shares:
        return {}
    mean = sum(shares) / len(shares)
    return {measure: mean for measure in _measures(scores) if measure.startswith("accuracy")}


def _constant_span(scores: Sequence[Score]) -> dict[str, float]:
    """For each measure the span, as fractions of the video, that is best for this measure."""
    import numpy as np

    true = [(s.truth["start"], s.truth["end"]) for s in scores if "start" in s.truth]
    if not true:
        return {}
    iou_CN = _constant_ious(np.array(true))
    out = {"tIoU": float(iou_CN.mean(axis=1).max())}
    for threshold in (0.3, 0.5, 0.7):
        out[f"R@{threshold}"] = float((iou_CN > threshold).mean(axis=1).max())
        out[f"R@{threshold} or equal"] = float((iou_CN >= threshold).mean(axis=1).max())
    measures = _measures(scores)
    return {measure: value for measure, value in out.items() if measure in measures}


def _constant_ious(true_N2: np.ndarray) -> np.ndarray:
    """[C, N]: IoU of every span of a grid with true spans, all as fractions of their video."""
    import numpy as np

    start_N, end_N = np.ascontiguousarray(true_N2.T)
    grid = np.arange(_STEPS + 1) / _STEPS
    starts, ends = (part.ravel() for part in np.meshgrid(grid, grid, indexing="ij"))
    spans_C = list(zip(starts[starts < ends], ends[starts < ends], strict=True))
    length_N, iou_CN = end_N - start_N, np.empty((len(spans_C), len(start_N)))
    for iou_N, (start, end) in zip(iou_CN, spans_C, strict=True):  # a row stays in the processor's cache
        shared_N = np.maximum(np.minimum(end, end_N) - np.maximum(start, start_N), 0)
        np.divide(shared_N, (end - start) + length_N - shared_N, out=iou_N)
    return iou_CN


def _constant_window(scores: Sequence[Score]) -> dict[str, float]:
    """For each measure of several windows the one window that is best for it, as fractions of the video.

    Its average precision is one over the number of true windows where it hits one of them.
    """
    import numpy as np

    from evaluation.metrics.windows import AP, LENGTHS, R1, THRESHOLDS, of_length

    out: dict[str, float] = {}
    for length in ("", *LENGTHS):
        true = [
            [
                (s.truth[f"start {n}"], s.truth[f"end {n}"])
                for n in range(len(s.truth) // 3)
                if of_length(s.truth[f"seconds {n}"], length)
            ]
            for s in scores
        ]
        true = [windows for windows in true if windows]
        if not true:
            continue
        counts_N = np.array([len(windows) for windows in true])
        iou_CW = _constant_ious(np.array([window for windows in true for window in windows]))
        best_CN = np.maximum.reduceat(iou_CW, np.cumsum(counts_N) - counts_N, axis=1)
        precision = {t: ((best_CN >= t) / counts_N).mean(axis=1) for t in THRESHOLDS}
        of = f" {length}" if length else ""
        out |= {f"R1@{t}{of}": float((best_CN >= t).mean(axis=1).max()) for t in R1}
        out |= {f"mAP@{t}{of}": float(precision[t].max()) for t in AP}
        out[f"mAP{of}"] = float(np.mean(list(precision.values()), axis=0).max())
        out[f"tIoU{of}"] = float(best_CN.mean(axis=1).max())
    return out


def _constant_mask(scores: Sequence[Score]) -> dict[str, float]:
    """Nothing on every frame, or all of every frame, whichever has the larger J&F."""
    return _better(_constant_means(scores))


def _constant_mask_by_category(scores: Sequence[Score]) -> dict[str, float]:
    """The same when every category counts once."""
    found = [_constant_means(group) for group in by_category(scores).values()]
    found = [of for of in found if of]
    if not found:
        return {}
    return _better(
        {
            kind: {name: sum(of[kind][name] for of in found) / len(found) for name in found[0][kind]}
            for kind in _MASKS
        }
    )


def _constant_means(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """J, F and J&F by constant mask; nothing for scores without masks."""
    found: dict[str, dict[str, float]] = {}
    for kind in _MASKS:
        per = {
            measure: [s.truth[f"{kind} {measure}"] for s in scores if f"{kind} {measure}" in s.truth]
            for measure in ("J", "F")
        }
        if not per["J"]:
            return {}
        means = {measure: sum(values) / len(values) for measure, values in per.items()}
        found[kind] = {**means, "J&F": (means["J"] + means["F"]) / 2}
    return found


def _better(means: Mapping[str, dict[str, float]]) -> dict[str, float]:
    return max(means.values(), key=lambda of: of["J&F"]) if means else {}


def _masks_and_spans(scores: Sequence[Score]) -> Mapping[str, float]:
    return {**_constant_mask(scores), **_constant_span(scores)}


def _measures(scores: Sequence[Score]) -> set[str]:
    return {measure for score in scores for measure in score.values}


CHANCE = Baseline(name="chance", values=_chance)
CONSTANT_SPAN = Baseline(name="best constant span", values=_constant_span)
CONSTANT_WINDOW = Baseline(name="best constant span", values=_constant_window)
CONSTANT_MASK = Baseline(name="best constant mask", values=_constant_mask)
CONSTANT_MASK_BY_CATEGORY = Baseline(name="best constant mask", values=_constant_mask_by_category)
CONSTANT_ANSWER = Baseline(name="best constant answer", values=_masks_and_spans)
