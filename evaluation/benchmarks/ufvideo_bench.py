"""UFVideo-Bench: PixRQA, PixHQA and PixTRQA, told apart by category (https://huggingface.co/datasets/Hevven/UFVideo-Bench)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_masks, judge_span
from evaluation.metrics.aggregate import Metric, Over, Score
from evaluation.prediction import Prediction
from pipeline.records.sample import Sample, Task


def score(sample: Sample, prediction: Prediction) -> Score:
    """Masks of every sample; the span too where the true answer holds one (PixTRQA)."""
    masks = judge_masks(sample, prediction)
    if not sample.spans:
        return Score(
            key=sample.key,
            category=sample.category,
            values=masks.values,
            weights=masks.weights,
            failures=masks.failures,
        )
    span = judge_span(sample, prediction)
    return Score(
        key=sample.key,
        category=sample.category,
        values=masks.values | span.values,
        weights=masks.weights,
        failures=masks.failures | span.failures,
        refusal=span.refusal,
        clamped=span.clamped,
    )


UFVIDEO_BENCH = Benchmark(
    name="ufvideo_bench",
    about="UFVideo-Bench: text, masks and, for one task, a span",
    times=True,
    accepts=(Task.COOPERATIVE,),
    prompt=prompts.as_prepared,
    score=score,
    metrics=(
        Metric(name="J", measure="J"),
        Metric(name="F", measure="F"),
        Metric(name="J&F", measure="J&F"),
        Metric(name="tIoU", measure="tIoU"),
        Metric(name="R@0.5", measure="R@0.5"),
        Metric(name="J&F, UFVideo's averaging", measure="J&F shown", over=Over.WEIGHTS, main=False),
    ),
    footnote="UFVideo-Bench also grades the text (SAvg) with a language model as judge; not done here.",
    tasks=True,
)
