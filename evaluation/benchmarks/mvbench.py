"""MVBench: twenty tasks of multiple choice (https://huggingface.co/datasets/OpenGVLab/MVBench)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CHANCE
from evaluation.benchmarks.judging import judge_choice
from evaluation.metrics import choice_published
from evaluation.metrics.aggregate import AS_PUBLISHED, READ, READ_RULE, STANDARD, Metric, Over, Score
from evaluation.prediction import Prediction
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.choices import letter, question_with_options
from pipeline.records.sample import Sample, Task, Turn


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """Question, options in brackets on separate lines, and the instruction to answer with a letter."""
    if style is PromptStyle.PREPARED:
        return prompts.with_options(sample)
    if style is PromptStyle.LLAVA_VIDEO:
        return prompts.single_turn(question_with_options(prompts.question(sample), sample.choices))
    options = "\n".join(f"({letter(i)}) {option}" for i, option in enumerate(sample.choices))
    end = "Answer with the option's letter from the given choices directly and only give the best option."
    return prompts.single_turn(f"Question: {prompts.question(sample)}\nOptions:\n{options}\n{end}")


def score(sample: Sample, prediction: Prediction) -> Score:
    """One question under three matching rules."""
    published = choice_published.published(prediction.text, sample.choices)
    return judge_choice(sample, prediction, published).score(sample)


MVBENCH = Benchmark(
    name="mvbench",
    title="MVBench",
    about="MVBench: twenty tasks of multiple choice",
    styles=tuple(PromptStyle),
    accepts=(Task.CHOICE,),
    baseline=CHANCE,
    formats=("mvbench",),
    prompt=prompt,
    score=score,
    metrics=(
        Metric(name="accuracy", measure="accuracy", protocol=READ, rule=f"{READ_RULE}; mean over questions"),
        Metric(
            name="accuracy, mean of tasks",
            measure="accuracy",
            over=Over.CATEGORIES,
            protocol=READ,
            rule=f"{READ_RULE}; mean of the tasks' means",
        ),
        Metric(
            name="accuracy, MVBench's rule",
            measure="accuracy first word",
            main=False,
            protocol=STANDARD,
            rule="the first word is compared with the letter in brackets; mean over questions",
        ),
        Metric(
            name="accuracy, UFVideo's rule",
            measure="accuracy published",
            main=False,
            protocol=AS_PUBLISHED,
            rule="the first capital letter anywhere, C where there is none; mean over questions",
        ),
    ),
    footnote="Accuracy: the answer must name its option beyond doubt. UFVideo's rule takes the first capital "
    "letter anywhere and C where there is none; MVBench's rule looks at the first word.",
)
