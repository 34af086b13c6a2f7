"""Charades-STA test: when does a sentence happen (https://github.com/jiyanggao/TALL)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_SPAN
from evaluation.benchmarks.judging import CUT, THRESHOLDS, judge_span
from evaluation.metrics.aggregate import CLIPPED, INCLUSIVE, Metric, Score
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
    return judge_span(sample, prediction).score(sample)


CUT_RULE = "true spans cut at the end of the video, IoU above the threshold; mean over queries"

CHARADES_STA = Benchmark(
    name="charades_sta",
    title="Charades-STA",
    about="Charades-STA: when a sentence happens",
    times=True,
    accepts=(Task.TEMPORAL,),
    baseline=CONSTANT_SPAN,
    formats=("charades_sta",),
    prompt=prompt,
    score=score,
    metrics=(
        Metric(name="tIoU", measure="tIoU", rule="mean over queries"),
        *(
            Metric(name=f"R@{t}", measure=f"R@{t}", rule=f"share of queries with an IoU above {t}")
            for t in THRESHOLDS
        ),
        *(
            Metric(
                name=f"R@{t}, threshold counts",
                measure=f"R@{t} or equal",
                main=False,
                protocol=INCLUSIVE,
                rule=f"share of queries with an IoU of {t} or more",
            )
            for t in THRESHOLDS
        ),
        *(
            Metric(name=f"{m}, truth cut", measure=f"{m}{CUT}", main=False, protocol=CLIPPED, rule=CUT_RULE)
            for m in ("tIoU", *(f"R@{t}" for t in THRESHOLDS))
        ),
    ),
    footnote="R@x: share of queries with an IoU above x; an answer without a span has an IoU of 0. Truth "
    "is taken as it is written: 562 of the 3,720 true spans of Charades-STA end after their video.",
)
