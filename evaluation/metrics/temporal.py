"""Spans of time: temporal IoU and recall at a threshold.

The published scores of UFVideo count a span when its IoU is strictly above the threshold; other
projects count from the threshold on. Both exist here, by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.records.sample import TimeSpan
from pipeline.times import temporal


def span_iou(predicted: TimeSpan | None, truth: TimeSpan) -> float:
    """IoU in seconds, 0-1. No predicted span, a reversed one and an empty one are all 0."""
    if predicted is None:
        return 0.0
    return temporal.iou((predicted.start_s, predicted.end_s), (truth.start_s, truth.end_s))


def passes(iou: float, threshold: float, strict: bool = True) -> float:
    """1 if an IoU passes the threshold, else 0. ``strict``: it must exceed the threshold."""
    return float(iou > threshold if strict else iou >= threshold)


def span_failure(spans: Sequence[TimeSpan]) -> str | None:
    """Why an answer's first span cannot be scored, or None."""
    if not spans:
        return "no span in the answer"
    first = spans[0]
    if first.end_s < first.start_s:
        return "the span ends before it starts"
    if first.end_s == first.start_s:
        return "the span has no length"
    return None
