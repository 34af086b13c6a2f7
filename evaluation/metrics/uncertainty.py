"""How far a mean could be off: standard errors and intervals that know that samples share videos.

Questions about one video succeed and fail together, so the videos, not the samples, are the independent
draws. The standard error is the cluster-robust one of a mean (Liang & Zeger 1986, with the usual correction
G / (G - 1)); where a metric is not a plain mean, an interval comes from resampling whole videos (Field &
Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.draw import stream

DRAWS = 2000  # of the bootstrap
LEVEL = 0.95
_CELLS = 4_000_000  # of draws x clusters in memory at once


class Interval(NamedTuple):
    """Both ends of a confidence interval at LEVEL."""

    low: float
    high: float


def clusters_of(names: Sequence[str]) -> np.ndarray:
    """[N] int64: the number of each name's cluster, from 0. Without a name a sample is its own cluster."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name or f"\0{n}", len(numbers)) for n, name in enumerate(names)])


def clustered_error(
    values: np.ndarray, clusters: np.ndarray, weights: np.ndarray | None = None
) -> float | None:
    """Standard error of the (weighted) mean of values [N] in clusters [N]; None for one cluster."""
    weights = np.ones(len(values)) if weights is None else weights
    groups, total = int(clusters.max(initial=-1)) + 1, float(weights.sum())
    if groups < 2 or total <= 0:
        return None
    residuals = weights * (values - np.average(values, weights=weights))
    sums = np.bincount(clusters, residuals, groups)
    return float(np.sqrt(groups / (groups - 1) * (sums @ sums)) / total)


def ratio_interval(
    numerators: np.ndarray, denominators: np.ndarray, clusters: np.ndarray, *names: object
) -> Interval | None:
    """Interval of a mean of ratios of sums, such as a mean of the categories' means, by resampling clusters.

    ``numerators`` and ``denominators`` are [N, C]: what each sample adds to both sums of each of C parts. A
    part that a resample does not contain is left out of its mean. ``names`` seed the draws. None for less
    than two clusters.
    """
    groups = int(clusters.max(initial=-1)) + 1
    if groups < 2:
        return None
    tops, bottoms = (_sums(part, clusters, groups) for part in (numerators, denominators))
    rng, means = stream("bootstrap", *names), []
    for count in _chunks(DRAWS, max(1, _CELLS // groups)):
        draws = rng.multinomial(groups, np.full(groups, 1 / groups), count)  # [D, G]: how often each is drawn
        top, bottom = draws @ tops, draws @ bottoms
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(bottom > 0, top / bottom, np.nan)
        means.append(np.nanmean(ratios[(bottom > 0).any(axis=1)], axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def normal_interval(value: float, error: float | None) -> Interval | None:
    """The interval of a mean with this standard error."""
    if error is None:
        return None
    from statistics import NormalDist

    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return Interval(value - reach, value + reach)


def _chunks(total: int, size: int) -> list[int]:
    return [min(size, total - at) for at in range(0, total, size)]


def _sums(part: np.ndarray, clusters: np.ndarray, groups: int) -> np.ndarray:
    return np.stack([np.bincount(clusters, part[:, c], groups) for c in range(part.shape[1])], axis=1)
