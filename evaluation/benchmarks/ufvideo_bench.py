"""UFVideo-Bench: PixRQA, PixHQA and PixTRQA, told apart by category (https://huggingface.co/datasets/Hevven/UFVideo-Bench)."""

from __future__ import annotations

import re

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_ANSWER
from evaluation.benchmarks.judging import judge_masks, judge_span
from evaluation.benchmarks.marks import answer_text, judge_texts, mark_metrics, without_text
from evaluation.benchmarks.mask_metrics import pooled_frames, region_metrics
from evaluation.judge.rubric import JudgeTexts
from evaluation.metrics.aggregate import Metric, Score
from evaluation.prediction import Prediction
from pipeline.records.sample import Sample, Task

_MASKS = "The segmentation mask"  # begins the sentences about masks in the published answers
_STOP = re.compile(r"\.(?!\d)")  # a full stop that is not in a number


def description(text: str, task: str) -> str:
    """The part of a text that a judge marks: without the sentences about masks and the span of PixTRQA.

    The published code cuts only answers at the masks; here references are cut as well, or no answer could
    agree with them.
    """
    text = answer_text(text).partition(_MASKS)[0].strip()
    first = _STOP.search(text) if task == "PixTRQA" else None
    return text[first.end() :].strip() if first else text


def judged(sample: Sample, prediction: Prediction) -> JudgeTexts | None:
    """The description in the answer against the one in the reference."""
    answer, reference = (description(text, sample.category) for text in (prediction.text, sample.reference))
    return judge_texts(prediction, prompts.question(sample), reference, answer)


def score(sample: Sample, prediction: Prediction) -> Score:
    """Masks of every sample; the span too where the true answer holds one (PixTRQA)."""
    found = judge_masks(sample, prediction)
    if sample.spans:
        found = found | judge_span(sample, prediction)
    return (found | without_text(prediction, description(prediction.text, sample.category))).score(sample)


RULE = "mean over the annotated frames of a question, then over questions"

UFVIDEO_BENCH = Benchmark(
    name="ufvideo_bench",
    title="UFVideo-Bench",
    about="UFVideo-Bench: text, masks and, for one task, a span",
    times=True,
    accepts=(Task.COOPERATIVE,),
    baseline=CONSTANT_ANSWER,
    formats=("ufvideo_bench",),
    prompt=prompts.as_prepared,
    score=score,
    judged=judged,
    metrics=(
        *region_metrics(RULE),
        Metric(name="tIoU", measure="tIoU", rule="mean over questions"),
        Metric(name="R@0.5", measure="R@0.5", rule="share of questions with an IoU above 0.5"),
        *mark_metrics("SAvg", "questions", dimensions=False),
        pooled_frames("questions"),
    ),
    footnote="SAvg: marks of a language model from 0 to 5 for what the answers of UFVideo-Bench describe; "
    "without T: without the mark for movement.",
    tasks=True,
)
