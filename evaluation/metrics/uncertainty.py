"""How far a mean could be off: standard errors and intervals for samples that share videos.

Answers about the same video are correlated, so the videos, not the samples, are the independent draws. The
standard error is the cluster-robust one of a mean (Liang & Zeger 1986, with the usual correction G / (G -
1)), and its interval is symmetric on the logit scale, so it never leaves 0 to 100 percent. Where a metric is
not a plain mean, an interval comes from resampling whole videos (Field & Welsh 2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from pipeline.draw import stream

DRAWS = 2000  # of the bootstrap
LEVEL = 0.95
_REACH = NormalDist().inv_cdf((1 + LEVEL) / 2)  # standard errors
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
    return _interval([(numerators, denominators)], clusters, names)


def paired_ratio_interval(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    clusters: np.ndarray,
    *names: object,
) -> Interval | None:
    """Interval of the second mean of ratios minus the first, over the same samples.

    Each is (numerators, denominators) as in ``ratio_interval``. Both are taken from the same resamples of
    clusters, so what is hard for both does not widen the interval.
    """
    return _interval([first, second], clusters, names)


def mean_interval(value: float, error: float | None, most: float) -> Interval | None:
    """The interval of a mean of values from 0 to ``most``; None without a standard error.

    It is the normal interval of the logit, so no bound cuts it: the usual one for proportions in surveys of
    clusters (Korn & Graubard 1998; `svyciprop` in R). Where all samples are the same it has no width.
    """
    if error is None:
        return None
    share = value / most
    if error == 0 or not 0 < share < 1:
        return Interval(value, value)
    centre, reach = math.log(share / (1 - share)), _REACH * error / most / (share * (1 - share))
    low, high = (most * (1 + math.tanh(at / 2)) / 2 for at in (centre - reach, centre + reach))
    return Interval(low, high)


def difference_interval(value: float, error: float | None, most: float) -> Interval | None:
    """The normal interval of a difference of two such means, cut at -``most`` and ``most``.

    Not that of a logit: whether it holds 0 is then the usual test of the difference.
    """
    if error is None:
        return None
    return Interval(max(value - _REACH * error, -most), min(value + _REACH * error, most))


def _interval(
    ratios: Sequence[tuple[np.ndarray, np.ndarray]], clusters: np.ndarray, names: Sequence[object]
) -> Interval | None:
    """Of one mean of ratios, or of the last minus the first; None for fewer than two clusters."""
    groups = int(clusters.max(initial=-1)) + 1
    if groups < 2:
        return None
    sums = [[_sums(part, clusters, groups) for part in pair] for pair in ratios]
    rng, drawn = stream("bootstrap", *names), []
    for count in _chunks(DRAWS, max(1, _CELLS // groups)):
        draws = np.empty(
            (count, groups)
        )  # how often each is drawn; as floats, else every product converts it
        for row in draws:  # ten times as fast as multinomial for many clusters
            row[:] = np.bincount(rng.integers(groups, size=groups, dtype=np.int32), minlength=groups)
        means = [_mean_ratio(draws @ tops, draws @ bottoms) for tops, bottoms in sums]
        drawn.append(means[0] if len(means) == 1 else means[-1] - means[0])
    found = np.concatenate(drawn)
    low, high = np.quantile(found[~np.isnan(found)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _mean_ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """[D]: the mean over the parts [D, C] that have a denominator; NaN where none has."""
    some = (bottom > 0).any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where(bottom > 0, top / bottom, np.nan)
    out = np.full(len(top), np.nan)
    out[some] = np.nanmean(parts[some], axis=1)
    return out


def _chunks(total: int, size: int) -> list[int]:
    return [min(size, total - at) for at in range(0, total, size)]


def _sums(part: np.ndarray, clusters: np.ndarray, groups: int) -> np.ndarray:
    return np.stack([np.bincount(clusters, part[:, c], groups) for c in range(part.shape[1])], axis=1)
