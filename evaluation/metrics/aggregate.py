"""Many scores -> the rows of a table. A failed sample stays in every denominator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Over(StrEnum):
    """What a mean is taken over."""

    SAMPLES = "samples"  # every sample counts once
    CATEGORIES = "categories"  # every category counts once: the mean of the categories' means
    WEIGHTS = "weights"  # every sample counts by its weight: with frames as weights, frames are pooled


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The scores of one prediction.

    ``values`` holds one number in 0-1 per measure; a measure that does not apply to the sample is left out.
    ``weights`` says how much a value counts where that is not 1. ``failures`` says by measure why nothing or
    not everything could be scored: the value is then that of a useless answer, and is not missing. For a
    sample that asks for a time, ``refusal`` says why the answer's time could not be read, and ``clamped``
    that it was clamped. ``read_by`` is the rule that found the option in the answer to a multiple-choice
    question. ``video`` is the SHA-256 of the sample's video: samples of one video are not independent draws.
    """

    key: str
    values: Mapping[str, float]
    video: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    refusal: str = ""
    clamped: bool = False
    read_by: str = ""

    @property
    def failure(self) -> str | None:
        """The first failure of any measure."""
        return next(iter(self.failures.values()), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A line of the table: a measure (a key of ``Score.values``) and its mean. ``main`` ones come first."""

    name: str
    measure: str
    over: Over = Over.SAMPLES
    main: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """One cell group of the result. ``value`` is in 0-1, or None if no sample has the measure."""

    benchmark: str
    category: str  # empty: all of them
    metric: str
    value: float | None
    samples: int
    failures: int
    main: bool = True


def average(metric: Metric, scores: Iterable[Score]) -> float | None:
    """The metric over these scores, 0-1; None if its measure applies to none of them."""
    scored = [s for s in scores if metric.measure in s.values]
    if metric.over is Over.CATEGORIES:
        means = [_mean(metric.measure, group) for group in by_category(scored).values()]
        return sum(means) / len(means) if means else None
    key, weighted = metric.measure, metric.over is Over.WEIGHTS
    weights = [s.weights.get(key, 1.0) if weighted else 1.0 for s in scored]
    total = sum(weights)
    return sum(w * s.values[key] for w, s in zip(weights, scored, strict=True)) / total if total else None


def by_category(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Scores by category, in alphabetical order."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.category, []).append(score)
    return dict(sorted(groups.items()))


def rows(benchmark: str, metrics: Sequence[Metric], scores: Sequence[Score]) -> list[MetricRow]:
    """A row per metric over everything, then a row per category and metric."""
    groups = {"": list(scores), **{c: g for c, g in by_category(scores).items() if c}}
    return [
        _row(benchmark, category, metric, group)
        for category, group in groups.items()
        for metric in metrics
        if not (category and metric.over is Over.CATEGORIES)
    ]


def _row(benchmark: str, category: str, metric: Metric, scores: Sequence[Score]) -> MetricRow:
    scored = [s for s in scores if metric.measure in s.values]
    return MetricRow(
        benchmark=benchmark,
        category=category,
        metric=metric.name,
        value=average(metric, scored),
        samples=len(scored),
        failures=sum(metric.measure in s.failures for s in scored),
        main=metric.main,
    )


def _mean(measure: str, scores: Sequence[Score]) -> float:
    return sum(s.values[measure] for s in scores) / len(scores)
