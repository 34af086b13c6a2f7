"""VideoRefer-Bench-Q: multiple choice about marked objects (https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench)."""

from __future__ import annotations

import re

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CHANCE
from evaluation.benchmarks.judging import judge_choice
from evaluation.metrics import choice_published
from evaluation.metrics.aggregate import READ, READ_RULE, STANDARD, Metric, Score
from evaluation.prediction import Prediction
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.choices import letter, question_with_options
from pipeline.records.sample import REGION, Sample, Task, Turn

_BARE_REGION = re.compile(r"(?<!\[)" + re.escape(REGION) + r"(?!\])")


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """Regions in brackets, options in one line."""
    if style is PromptStyle.PREPARED:
        return prompts.with_options(sample)
    if style is PromptStyle.LLAVA_VIDEO:
        return prompts.single_turn(question_with_options(prompts.question(sample), sample.choices))
    options = " ".join(f"({letter(i)}) {option}" for i, option in enumerate(sample.choices))
    text = _BARE_REGION.sub(f"[{REGION}]", prompts.question(sample))
    return prompts.single_turn(
        f"{text} {options} Answer with the option's letter from the given choices directly."
    )


def score(sample: Sample, prediction: Prediction) -> Score:
    """One question; its type is the category."""
    published = choice_published.lettered(prediction.text, sample.choices)
    return judge_choice(sample, prediction, published).score(sample)


VIDEOREFER_BENCH_Q = Benchmark(
    name="videorefer_bench_q",
    title="VideoRefer-Bench-Q",
    about="VideoRefer-Bench-Q: multiple choice about marked objects",
    styles=tuple(PromptStyle),
    accepts=(Task.CHOICE,),
    baseline=CHANCE,
    formats=("videorefer_bench_q",),
    prompt=prompt,
    score=score,
    metrics=(
        Metric(name="accuracy", measure="accuracy", protocol=READ, rule=f"{READ_RULE}; mean over questions"),
        Metric(
            name="accuracy, published rule",
            measure="accuracy published",
            main=False,
            protocol=STANDARD,
            rule="the first letter in brackets, else in front of one, else the first character; mean over "
            "questions",
        ),
    ),
    footnote="VideoRefer-Bench-Q's published rule takes the first letter in brackets, else the first one.",
)
