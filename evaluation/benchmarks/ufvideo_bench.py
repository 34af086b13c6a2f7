"""UFVideo-Bench: PixRQA, PixHQA and PixTRQA, told apart by category (https://huggingface.co/datasets/Hevven/UFVideo-Bench)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_ANSWER
from evaluation.benchmarks.judging import judge_masks, judge_span
from evaluation.metrics.aggregate import AS_PUBLISHED, Metric, Over, Score
from evaluation.prediction import Prediction
from pipeline.records.sample import Sample, Task


def score(sample: Sample, prediction: Prediction) -> Score:
    """Masks of every sample; the span too where the true answer holds one (PixTRQA)."""
    judged = judge_masks(sample, prediction)
    if sample.spans:
        judged = judged | judge_span(sample, prediction)
    return judged.score(sample)


RULE = "mean over the annotated frames of a question, then over questions"

UFVIDEO_BENCH = Benchmark(
    name="ufvideo_bench",
    title="UFVideo-Bench",
    about="UFVideo-Bench: text, masks and, for one task, a span",
    times=True,
    accepts=(Task.COOPERATIVE,),
    baseline=CONSTANT_ANSWER,
    prompt=prompts.as_prepared,
    score=score,
    metrics=(
        Metric(name="J", measure="J", rule=RULE),
        Metric(name="F", measure="F", rule=RULE),
        Metric(name="J&F", measure="J&F", rule=RULE),
        Metric(name="tIoU", measure="tIoU", rule="mean over questions"),
        Metric(name="R@0.5", measure="R@0.5", rule="share of questions with an IoU above 0.5"),
        Metric(
            name="J&F, UFVideo's averaging",
            measure="J&F shown",
            over=Over.WEIGHTS,
            main=False,
            protocol=AS_PUBLISHED,
            rule="frames that show the object alone, those of all questions in one mean",
        ),
    ),
    footnote="UFVideo-Bench also grades the text (SAvg) with a language model as judge; not done here.",
    tasks=True,
)
