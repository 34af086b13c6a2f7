"""MVBench: twenty tasks of multiple choice (https://huggingface.co/datasets/OpenGVLab/MVBench)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_choice
from evaluation.metrics import choice_published
from evaluation.metrics.aggregate import Metric, Over, Score
from evaluation.metrics.choice_letters import letter
from evaluation.prediction import Prediction
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import Sample, Task, Turn


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """Question, options in brackets on lines of their own, and the demand for a letter."""
    if style is PromptStyle.PREPARED:
        return prompts.with_options(sample)
    if style is PromptStyle.LLAVA_VIDEO:
        return prompts.single_turn(prompts.llava_video_options(prompts.question(sample), sample.choices))
    options = "\n".join(f"({letter(i)}) {option}" for i, option in enumerate(sample.choices))
    end = "Answer with the option's letter from the given choices directly and only give the best option."
    return prompts.single_turn(f"Question: {prompts.question(sample)}\nOptions:\n{options}\n{end}")


def score(sample: Sample, prediction: Prediction) -> Score:
    """One question under three matching rules."""
    judged = judge_choice(sample, prediction, choice_published.published(prediction.text, sample.choices))
    return Score(
        key=sample.key,
        category=sample.category,
        values=judged.values,
        failures=judged.failures,
        read_by=judged.read_by,
    )


MVBENCH = Benchmark(
    name="mvbench",
    about="MVBench: twenty tasks of multiple choice",
    styles=tuple(PromptStyle),
    accepts=(Task.CHOICE,),
    prompt=prompt,
    score=score,
    metrics=(
        Metric(name="accuracy", measure="accuracy"),
        Metric(name="accuracy, mean of tasks", measure="accuracy", over=Over.CATEGORIES),
        Metric(name="accuracy, UFVideo's rule", measure="accuracy published", main=False),
        Metric(name="accuracy, MVBench's rule", measure="accuracy first word", main=False),
    ),
    footnote="Accuracy: the answer must name its option beyond doubt. UFVideo's rule takes the first capital "
    "letter anywhere and C where there is none; MVBench's rule looks at the first word.",
)
