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
    """What one prediction is worth.

    ``values`` holds one number in 0-1 per measure; a measure that does not apply to the sample is left out.
    ``weights`` says how much a value counts where that is not 1. ``failures`` says by measure why there was
    nothing, or not all, to score: such a value is what a useless answer earns, not a blank. Of a sample that
    asks for a time ``refusal`` says why its answer's could not be read, and ``clamped`` that it was cut.
    ``video`` is the SHA-256 of the sample's video: samples of one video are not independent draws.
    """

    key: str
    values: Mapping[str, float]
    video: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    refusal: str = ""
    clamped: bool = False

    @property
    def failure(self) -> str | None:
        """The first thing that went wrong with the answer, under whichever measure."""
        return next(iter(self.failures.values()), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A line of the table: a measure and how it is averaged. ``main`` ones head the report."""

    name: str
    of: str
    over: Over = Over.SAMPLES
    main: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """One cell group of the result. ``value`` is in 0-1, or None where nothing bears on the metric."""

    benchmark: str
    category: str  # empty: all of them
    metric: str
    value: float | None
    samples: int
    failures: int
    main: bool = True


def average(metric: Metric, scores: Iterable[Score]) -> float | None:
    """The metric over these scores, 0-1; None if its measure applies to none of them."""
    bearing = [s for s in scores if metric.of in s.values]
    if metric.over is Over.CATEGORIES:
        means = [_mean(metric.of, group) for group in by_category(bearing).values()]
        return sum(means) / len(means) if means else None
    weights = [s.weights.get(metric.of, 1.0) if metric.over is Over.WEIGHTS else 1.0 for s in bearing]
    total = sum(weights)
    return (
        sum(w * s.values[metric.of] for w, s in zip(weights, bearing, strict=True)) / total if total else None
    )


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
    bearing = [s for s in scores if metric.of in s.values]
    return MetricRow(
        benchmark=benchmark,
        category=category,
        metric=metric.name,
        value=average(metric, bearing),
        samples=len(bearing),
        failures=sum(metric.of in s.failures for s in bearing),
        main=metric.main,
    )


def _mean(measure: str, scores: Sequence[Score]) -> float:
    return sum(s.values[measure] for s in scores) / len(scores)
