"""Samples that are scored together because a measure of one needs others, such as all objects of a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.metrics.aggregate import Score
from evaluation.prediction import Prediction
from pipeline.records.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which samples are scored together, and how.

    ``of`` names the group of a sample by its key. ``score`` gets a group whole, in the order of the truth,
    and returns the score of each sample that has a prediction, in this order. A sample without one was not
    asked (a limit, a video that cannot be read) and only contributes its truth.
    """

    of: Callable[[str], str]
    score: Callable[[Sequence[Sample], Sequence[Prediction | None]], list[Score]]


def gather(keys: Sequence[str], groups: Groups | None) -> list[list[int]]:
    """Positions by group, groups in the order of their first member; without groups each is one."""
    if groups is None:
        return [[n] for n in range(len(keys))]
    found: dict[str, list[int]] = {}
    for n, key in enumerate(keys):
        found.setdefault(groups.of(key), []).append(n)
    return list(found.values())


def of_video(key: str) -> str:
    """The group of ``<source>/<video>/<expression>``: all expressions of a video."""
    return key.rpartition("/")[0]
