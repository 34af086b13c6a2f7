"""VideoRefer-Bench-Q: multiple choice about marked objects (https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench)."""

from __future__ import annotations

import re

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_choice
from evaluation.metrics import choice_published
from evaluation.metrics.aggregate import Metric, Score
from evaluation.metrics.choice_letters import letter
from evaluation.prediction import Prediction
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import REGION, Sample, Task, Turn

_BARE_REGION = re.compile(r"(?<!\[)" + re.escape(REGION) + r"(?!\])")


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """Regions in brackets, options in one line."""
    if style is PromptStyle.PREPARED:
        return prompts.with_options(sample)
    if style is PromptStyle.LLAVA_VIDEO:
        return prompts.single_turn(prompts.llava_video_options(prompts.question(sample), sample.choices))
    options = " ".join(f"({letter(i)}) {option}" for i, option in enumerate(sample.choices))
    text = _BARE_REGION.sub(f"[{REGION}]", prompts.question(sample))
    return prompts.single_turn(
        f"{text} {options} Answer with the option's letter from the given choices directly."
    )


def score(sample: Sample, prediction: Prediction) -> Score:
    """One question; its type is the category."""
    judged = judge_choice(sample, prediction, choice_published.lettered(prediction.text, sample.choices))
    return Score(
        key=sample.key,
        category=sample.category,
        values=judged.values,
        failures=judged.failures,
        read_by=judged.read_by,
    )


VIDEOREFER_BENCH_Q = Benchmark(
    name="videorefer_bench_q",
    about="VideoRefer-Bench-Q: multiple choice about marked objects",
    styles=tuple(PromptStyle),
    accepts=(Task.CHOICE,),
    prompt=prompt,
    score=score,
    metrics=(
        Metric(name="accuracy", measure="accuracy"),
        Metric(name="accuracy, published rule", measure="accuracy published", main=False),
    ),
    footnote="VideoRefer-Bench-Q's published rule takes the first letter in brackets, else the first one.",
)
