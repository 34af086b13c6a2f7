"""Many scores -> the rows of a table. A failed sample stays in every denominator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

    from evaluation.metrics.uncertainty import Interval

STANDARD: Final = "standard"  # the rule of a benchmark's authors
READ: Final = "read"  # this project's reading of free answers
READ_RULE: Final = "the answer has to name one option beyond doubt"
CLIPPED: Final = "clipped"  # true spans are cut at the ends of their video
INCLUSIVE: Final = "inclusive"  # an IoU that equals the threshold counts
JUDGED: Final = "judged"  # marks of a language model
AS_PUBLISHED: Final = "as-published"  # the rule of UFVideo's released code, quirk by quirk


class Unit(StrEnum):
    """What a metric's numbers are."""

    SHARE = "share"  # 0-1, shown in percent
    MARK = "mark"  # a judge's mark from 0 to 5, shown as it is

    @property
    def most(self) -> float:
        """The largest value; the smallest is 0."""
        return 5.0 if self is Unit.MARK else 1.0


class Over(StrEnum):
    """What a mean is taken over."""

    SAMPLES = "samples"  # every sample counts once
    CATEGORIES = "categories"  # every category counts once: the mean of the categories' means
    WEIGHTS = "weights"  # every sample counts by its weight: with frames as weights, frames are pooled


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The scores of one prediction.

    ``values`` holds one number per measure, in 0-1 or a mark in 0-5; a measure that does not apply to the
    sample is left out. ``missing`` says by measure why a number that applies does not exist: it is in no
    mean, and is counted. ``weights`` has the weights that are not 1. ``failures`` says by measure why nothing
    or not everything could be scored: the value is then that of a useless answer, and is not missing. For a
    sample that asks for a time, ``refusal`` says why the answer's time could not be read, and ``clamped``
    that it was clamped. ``read_by`` is the rule that found the option in the answer to a multiple-choice
    question. ``video`` is the SHA-256 of the sample's video: samples of one video are not independent draws.
    ``truth`` holds what a baseline needs to know about the truth; the benchmark defines it.
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
    truth: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def failure(self) -> str | None:
        """The first failure of any measure."""
        return next(iter(self.failures.values()), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A line of the table: a measure (a key of ``Score.values``) and its mean. ``main`` ones come first.

    ``protocol`` names whose rule it is, ``rule`` says it in one line: thresholds, what is averaged over what.
    ``categories``: only samples of these count; empty: all.
    """

    name: str
    measure: str
    over: Over = Over.SAMPLES
    main: bool = True
    protocol: str = STANDARD
    rule: str = ""
    categories: tuple[str, ...] = ()
    unit: Unit = Unit.SHARE

    def counts(self, score: Score) -> bool:
        """Whether a sample is in the mean."""
        return self.measure in score.values and self.covers(score)

    def lacks(self, score: Score) -> bool:
        """Whether a sample should be in the mean and has no number."""
        return self.measure in score.missing and self.covers(score)

    def covers(self, score: Score) -> bool:
        """Whether a sample is of the metric's categories."""
        return not self.categories or score.category in self.categories


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The score of an answer that does not look at the video: ``chance``, or the best constant answer.

    ``values`` computes it by measure from the scores, of which it only uses ``truth``.
    """

    name: str
    values: Callable[[Sequence[Score]], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """One cell group of the result. ``value`` is in its unit, or None if no sample has the measure.

    ``error`` is its standard error and ``low`` to ``high`` its interval at 95%, both with the samples of one
    video as one draw; None for fewer than two videos. ``baseline`` is the score without looking at the video.
    """

    benchmark: str
    category: str  # empty: all of them
    metric: str
    value: float | None
    samples: int
    failures: int
    main: bool = True
    protocol: str = STANDARD
    error: float | None = None
    low: float | None = None
    high: float | None = None
    videos: int = 0
    baseline: float | None = None
    baseline_name: str = ""
    description: str = ""
    fingerprint: str = ""
    unit: str = Unit.SHARE
    missing: Mapping[str, int] = field(default_factory=dict)  # samples without a value, by reason


def average(metric: Metric, scores: Iterable[Score]) -> float | None:
    """The metric over these scores, 0-1; None if its measure applies to none of them."""
    group = _Group(list(scores))
    columns = group.columns(metric)
    return columns.mean() if columns else None


def by_category(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Scores by category, in alphabetical order."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.category, []).append(score)
    return dict(sorted(groups.items()))


def rows(
    benchmark: str, metrics: Sequence[Metric], scores: Sequence[Score], baseline: Baseline | None = None
) -> list[MetricRow]:
    """A row per metric over everything, then a row per category and metric."""
    groups = {"": list(scores), **{c: g for c, g in by_category(scores).items() if c}}
    out = []
    for category, group in groups.items():
        own = _Group(group)
        constants: dict[tuple[str, ...], Mapping[str, float]] = {}
        for metric in metrics:
            if category and (metric.over is Over.CATEGORIES or metric.categories):
                continue
            if metric.categories not in constants:
                covered = own.covered(metric)
                constants[metric.categories] = baseline.values(covered) if baseline and covered else {}
            constant = constants[metric.categories]
            name = baseline.name if baseline and metric.measure in constant else ""
            out.append(_row(benchmark, category, metric, own, constant.get(metric.measure), name))
    return out


def _row(
    benchmark: str,
    category: str,
    metric: Metric,
    group: _Group,
    baseline: float | None,
    baseline_name: str,
) -> MetricRow:
    from evaluation.metrics.uncertainty import mean_interval

    missing = Counter(s.missing[metric.measure] for s in group.lacking if metric.lacks(s))
    columns = group.columns(metric)
    value = columns.mean() if columns else None
    error = columns.error() if columns else None
    interval = None
    if columns is not None and value is not None:
        plain = metric.over is Over.SAMPLES
        interval = (
            mean_interval(value, error, metric.unit.most)
            if plain
            else columns.bootstrap(benchmark, category, metric.name)
        )
    return MetricRow(
        benchmark=benchmark,
        category=category,
        metric=metric.name,
        value=value,
        samples=len(columns.values) if columns else 0,
        failures=sum(metric.measure in s.failures and metric.counts(s) for s in group.failed),
        main=metric.main,
        protocol=metric.protocol,
        error=error,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        videos=columns.videos if columns else 0,
        baseline=baseline,
        baseline_name=baseline_name,
        description=metric.rule,
        unit=metric.unit,
        missing=dict(sorted(missing.items())),
    )


class _Group:
    """Scores that one row of each metric is about, and what the metrics share."""

    def __init__(self, scores: Sequence[Score]) -> None:
        self.scores = scores
        self.failed = [s for s in scores if s.failures]
        self.lacking = [s for s in scores if s.missing]
        self._values = [s.values for s in scores]
        self._clusters: np.ndarray | None = None

    def covered(self, metric: Metric) -> Sequence[Score]:
        """Those of the metric's categories."""
        return [s for s in self.scores if metric.covers(s)] if metric.categories else self.scores

    def columns(self, metric: Metric) -> _Columns | None:
        """Those in its mean; None if there are none."""
        key, scored = metric.measure, self.scores
        try:
            values = list(map(itemgetter(key), self._values))  # most measures apply to every sample
        except KeyError:
            values = []
        if metric.categories or not values:
            scored = [s for s in self.covered(metric) if key in s.values]
            values = [s.values[key] for s in scored]
        return _Columns(metric, scored, values, self) if scored else None

    def clusters(self, scored: Sequence[Score]) -> np.ndarray:
        """[N] the number of each score's video; ``scored`` are some of the scores, or all, in their order."""
        from evaluation.metrics.uncertainty import clusters_of

        if len(scored) < len(self.scores):
            return clusters_of([s.video for s in scored])
        if self._clusters is None:
            self._clusters = clusters_of([s.video for s in scored])
        return self._clusters


class _Columns:
    """The scored samples of one metric as arrays [N]: value, weight, category, video."""

    def __init__(
        self, metric: Metric, scores: Sequence[Score], values: Sequence[float], group: _Group
    ) -> None:
        import numpy as np

        from evaluation.metrics.uncertainty import clusters_of

        self.over = metric.over
        self.values = np.array(values, float)
        self.weights = np.ones(len(scores))
        if self.over is Over.WEIGHTS:
            self.weights = np.array([s.weights.get(metric.measure, 1.0) for s in scores], float)
        self.parts = np.zeros(len(scores), int)
        if self.over is Over.CATEGORIES:
            self.parts = clusters_of([s.category or " " for s in scores])
        self.clusters = group.clusters(scores)
        self.videos = int(self.clusters.max()) + 1

    def mean(self) -> float | None:
        top, bottom = self._sums(self.values * self.weights), self._sums(self.weights)
        return float((top[bottom > 0] / bottom[bottom > 0]).mean()) if (bottom > 0).any() else None

    def error(self) -> float | None:
        """The standard error. A mean of means is one mean with weights of 1 / n of each category."""
        from evaluation.metrics.uncertainty import clustered_error

        if self.over is not Over.CATEGORIES:
            return clustered_error(self.values, self.clusters, self.weights)
        import numpy as np

        sizes = self._sums(self.weights)
        means = self._sums(self.values) / sizes
        # The residuals are those of each category's own mean: categories are fixed, samples are drawn.
        influence = (self.values - means[self.parts]) / sizes[self.parts] / len(sizes)
        groups = self.videos
        if self.has_lone_video():
            return None
        sums = np.bincount(self.clusters, influence, groups)
        return float(np.sqrt(groups / (groups - 1) * (sums @ sums)))

    def has_lone_video(self) -> bool:
        """Whether a category's samples are all about one video: no residual, which is not to say no error."""
        import numpy as np

        if self.over is not Over.CATEGORIES:
            return False
        pairs = np.unique(self.parts * self.videos + self.clusters)  # as one number each
        return bool((np.bincount(pairs // self.videos) < 2).any())

    def bootstrap(self, *names: object) -> Interval | None:
        import numpy as np

        if self.has_lone_video():
            return None
        from evaluation.metrics.uncertainty import ratio_interval

        hot = np.eye(int(self.parts.max()) + 1)[self.parts] * self.weights[:, None]
        return ratio_interval(hot * self.values[:, None], hot, self.clusters, *names)

    def _sums(self, column: np.ndarray) -> np.ndarray:
        import numpy as np

        return np.bincount(self.parts, column)
