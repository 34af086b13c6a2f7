"""What a benchmark is: how it asks, how it judges one answer, and which means it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evaluation.benchmarks.groups import Groups
from evaluation.judge.rubric import JudgeTexts
from evaluation.metrics.aggregate import Baseline, Metric, Score, Unit
from evaluation.prediction import Prediction
from evaluation.submission.layout import Layout
from pipeline.plan.benchmarks import BenchmarkFamily, PromptStyle
from pipeline.records.sample import Sample, Turn


@dataclass(frozen=True, kw_only=True, eq=False)
class Benchmark(BenchmarkFamily):
    """A family of benchmarks. ``score`` sees the truth; ``prompt`` must not, because the model reads it.

    ``submission`` is the archive in which answers go to a server, for samples whose truth is hidden.
    ``judged`` returns the part of an answer that a language model marks; None for an answer that it is not
    shown, for which ``score`` has a failure. ``groups``: samples that some measures need together; the
    group's score then takes the place of ``score``, which gives the measures of one answer alone. ``formats``
    are the annotation formats of its own truth, which `ufvideo score` reads; the first is usual.
    """

    prompt: Callable[[Sample, PromptStyle], tuple[Turn, ...]]
    score: Callable[[Sample, Prediction], Score]
    metrics: tuple[Metric, ...]
    judged: Callable[[Sample, Prediction], JudgeTexts | None] | None = None
    baseline: Baseline | None = None
    groups: Groups | None = None
    formats: tuple[str, ...] = ()
    footnote: str = ""
    several_spans: bool = False  # all spans of an answer count, and not its first alone
    tasks: bool = False  # the categories are tasks of their own, each with its rows in the main table
    submission: Layout | None = None

    @property
    def submits(self) -> bool:
        """Whether answers can go to a server where the truth is hidden."""
        return self.submission is not None

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of the metrics that are marks of a judge."""
        return tuple(metric.name for metric in self.metrics if metric.unit is Unit.MARK)
