"""Charades-STA test: when does a sentence happen (https://github.com/jiyanggao/TALL)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_span
from evaluation.metrics.aggregate import Metric, Score
from evaluation.prediction import Prediction
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import Sample, Task, Turn


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The sentence in lower case without its full stop, in the published (ungrammatical) question."""
    if style is PromptStyle.PREPARED:
        return prompts.single_turn(prompts.question(sample))
    event = sample.expression.lower().strip().removesuffix(".")
    return prompts.single_turn(f"When is {event} occur in the video? Only give the start and end timestamp.")


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
    name="charades_sta",
    about="Charades-STA: when a sentence happens",
    times=True,
    accepts=(Task.TEMPORAL,),
    prompt=prompt,
    score=score,
    metrics=(
        Metric(name="tIoU", measure="tIoU"),
        Metric(name="R@0.3", measure="R@0.3"),
        Metric(name="R@0.5", measure="R@0.5"),
        Metric(name="R@0.7", measure="R@0.7"),
        Metric(name="R@0.5, threshold counts", measure="R@0.5 or equal", main=False),
    ),
    footnote="R@x: share of queries with an IoU above x; an answer without a span has an IoU of 0.",
)
