"""The difference between two models in one metric, from pairs of scores of the same samples.

A sample that is hard for one model is often hard for the other, so the difference of each sample is taken
first. Its mean has the error of any mean, with the samples of one video as one draw; other metrics are
resampled by whole videos, both models in the same resample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.benchmarks import benchmark_of
from evaluation.compare.pair import Pair
from evaluation.metrics.aggregate import Metric, Over, Score, Unit, by_category
from evaluation.metrics.uncertainty import (
    Interval,
    clustered_error,
    clusters_of,
    difference_interval,
    paired_ratio_interval,
)

Scores = Sequence[tuple[Score, Score]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One metric of one benchmark over the ``samples`` for which both have a value.

    ``a``, ``b`` and ``difference``, B minus A, are in the metric's unit; ``low`` to ``high`` is the interval
    of the difference at 95%, None for fewer than two videos; ``error`` its standard error where the metric is
    a plain mean. ``only_a_right`` and ``only_b_right`` count samples where each is 0 or 1, else they are
    None. ``without_a`` and ``without_b`` are shared samples to which the judge gave no mark.
    """

    benchmark: str
    category: str  # empty: all of them
    metric: str
    protocol: str
    unit: str
    headline: bool
    a: float
    b: float
    difference: float
    error: float | None
    low: float | None
    high: float | None
    samples: int
    videos: int
    only_a_right: int | None
    only_b_right: int | None
    without_a: int
    without_b: int


def differences(pair: Pair, *, headlines: bool = False) -> Iterator[Difference]:
    """Every metric of the benchmark, over everything and by category; or the ``headlines`` alone.

    A metric of no sample is left out. If the family is not known every measure is a plain mean, and a
    headline.
    """
    family = benchmark_of(pair.family) if pair.family else None
    metrics = family.metrics if family else _plain(pair.shared)
    groups = {"": list(pair.shared)}
    for category, group in by_category(a for a, _ in pair.shared).items():
        keys = {score.key for score in group}
        if category:
            groups[category] = [both for both in pair.shared if both[0].key in keys]
    for category, both in groups.items():
        for metric in metrics:
            if category and (metric.over is Over.CATEGORIES or metric.categories):
                continue
            headline = metric.main and bool(category) == bool(family and family.tasks)
            if headlines and not headline:
                continue
            if found := _difference(pair.entry, category, metric, both, headline):
                yield found


def _difference(
    entry: str, category: str, metric: Metric, pairs: Scores, headline: bool
) -> Difference | None:
    both = [(a, b) for a, b in pairs if metric.counts(a) and metric.counts(b)]
    if not both:
        return None
    columns = [
        _Column(metric, [pair[side] for pair in both], [a.category for a, _ in both]) for side in (0, 1)
    ]
    # Videos are named by their content or by their path; one side's names are enough.
    clusters = clusters_of([a.video or b.video for a, b in both])
    first, second = columns
    means = first.mean(), second.mean()
    if means[0] is None or means[1] is None:  # every weight is 0: the metric applies to none of these samples
        return None
    difference = means[1] - means[0]
    error: float | None = None
    interval: Interval | None
    if metric.over is Over.SAMPLES:
        error = clustered_error(second.values - first.values, clusters)
        interval = difference_interval(difference, error, metric.unit.most)
    else:
        names = (entry, category, metric.name)
        interval = paired_ratio_interval(first.ratio(), second.ratio(), clusters, *names)
    a_right, b_right = _rights(metric, first.values, second.values)
    return Difference(
        benchmark=entry,
        category=category,
        metric=metric.name,
        protocol=metric.protocol,
        unit=metric.unit,
        headline=headline,
        a=means[0],
        b=means[1],
        difference=difference,
        error=error,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        samples=len(both),
        videos=int(clusters.max()) + 1,
        only_a_right=a_right,
        only_b_right=b_right,
        without_a=sum(metric.lacks(a) for a, _ in pairs),
        without_b=sum(metric.lacks(b) for _, b in pairs),
    )


class _Column:
    """One side of a metric as arrays [N], with the categories of A as parts."""

    def __init__(self, metric: Metric, scores: Sequence[Score], categories: Sequence[str]) -> None:
        key, count = metric.measure, len(scores)
        self.values = np.fromiter((s.values[key] for s in scores), float, count)
        self._weights = np.ones(count)
        if metric.over is Over.WEIGHTS:
            self._weights = np.fromiter((s.weights.get(key, 1.0) for s in scores), float, count)
        parts = np.zeros(count, int)
        if metric.over is Over.CATEGORIES:
            parts = clusters_of([category or " " for category in categories])
        self._hot = np.eye(int(parts.max()) + 1)[parts] * self._weights[:, None]

    def ratio(self) -> tuple[np.ndarray, np.ndarray]:
        """Numerators and denominators [N, C]."""
        return self._hot * self.values[:, None], self._hot

    def mean(self) -> float | None:
        """The metric over these samples; None if all their weights are 0."""
        tops, bottoms = (part.sum(axis=0) for part in self.ratio())
        some = bottoms > 0
        return float((tops[some] / bottoms[some]).mean()) if some.any() else None


def _rights(metric: Metric, first: np.ndarray, second: np.ndarray) -> tuple[int | None, int | None]:
    """How often only A and only B is right, if every value is 0 or 1."""
    if metric.unit != Unit.SHARE or not np.isin(np.concatenate([first, second]), (0, 1)).all():
        return None, None
    return int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())


def _plain(pairs: Scores) -> tuple[Metric, ...]:
    """A mean of every measure, for scores of a benchmark that is not known here."""
    found = dict.fromkeys(
        name for both in pairs for score in both for name in (*score.values, *score.missing)
    )
    return tuple(Metric(name=name, measure=name, protocol="") for name in found)
