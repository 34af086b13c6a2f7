"""Charades-STA test: when does a sentence happen (https://github.com/jiyanggao/TALL)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_span
from evaluation.metrics.aggregate import Metric, Score
from evaluation.prediction import Prediction
from pipeline.plan.evaluation import BenchmarkFamily
from pipeline.records.sample import Sample


def score(sample: Sample, prediction: Prediction) -> Score:
    """One query: IoU of the first span in the answer."""
    judged = judge_span(sample, prediction)
    return Score(
        key=sample.key,
        category=sample.category,
        values=judged.values,
        failures=judged.failures,
        refusal=judged.refusal,
        clamped=judged.clamped,
    )


CHARADES_STA = Benchmark(
    family=BenchmarkFamily.CHARADES_STA,
    prompt=prompts.charades_sta,
    score=score,
    metrics=(
        Metric(name="tIoU", of="tIoU"),
        Metric(name="R@0.3", of="R@0.3"),
        Metric(name="R@0.5", of="R@0.5"),
        Metric(name="R@0.7", of="R@0.7"),
        Metric(name="R@0.5, threshold counts", of="R@0.5 or equal", main=False),
    ),
    footnote="R@x: share of queries with an IoU above x; an answer without a span has an IoU of 0.",
)
