"""What became of one answer: its score in a line, its state, and the number that samples are filtered by."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from evaluation.benchmarks.marks import AVERAGE
from evaluation.metrics.aggregate import Score
from evaluation.report.table import number_text
from evaluation.submission.hidden import NOT_SCORED

GOOD: Final = 0.5  # of the full score: from here on an answer is called right
FULL_MARK: Final = 5.0
MEASURES: Final = ("accuracy", "J&F", "tIoU")


class State(StrEnum):
    """What became of an answer. A failure is never right, whatever it earned."""

    RIGHT = "right"
    WRONG = "wrong"
    FAILED = "failed"
    UNSCORED = "unscored"  # its truth is hidden, or no judge has marked it


SYMBOLS = {State.RIGHT: "✓", State.WRONG: "✗", State.FAILED: "⚠", State.UNSCORED: "–"}
"""Beside every verdict, so that no colour is the only sign."""


def measures(score: Score) -> dict[str, float]:
    """The measures in 0-1 that say how good an answer is; a judge's mark only if there are no others."""
    found = {name: score.values[name] for name in MEASURES if name in score.values}
    if not found and AVERAGE in score.values:
        return {AVERAGE: score.values[AVERAGE] / FULL_MARK}
    return found


def sample_score(score: Score) -> float | None:
    """One number in 0-1: the lowest of its measures; None for an answer that is not scored."""
    return min(measures(score).values(), default=None)


def state(score: Score) -> State:
    """What became of the answer."""
    value = sample_score(score)
    if score.failure:
        return State.FAILED
    if value is None:
        return State.UNSCORED
    return State.RIGHT if value >= GOOD else State.WRONG


def verdict(score: Score) -> tuple[str, State]:
    """A score in one line, and what became of the answer."""
    became, found = state(score), measures(score)
    if "accuracy" in found:
        how = f" (read by: {score.read_by})" if score.read_by else ""
        return ("right" if found["accuracy"] else "wrong") + how, became
    texts = [f"{name} {number_text(found[name])}" for name in MEASURES if name in found]
    if AVERAGE in score.values:
        texts.append(f"{AVERAGE} {score.values[AVERAGE]:.2f} of {FULL_MARK:.0f}")
    elif AVERAGE in score.missing:
        texts.append(score.missing[AVERAGE])
    return " · ".join(texts) or NOT_SCORED, became
