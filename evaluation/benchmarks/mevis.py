"""MeViS: masks of what an expression names (https://github.com/henghuiding/MeViS).

valid_u is scored here. The truth of valid is hidden: its answers are written as a submission.

The model is asked and answers freely; masks come from the [SEG] that it writes. UFVideo's published number
puts the answer into the prompt and looks only at frames in which the truth is not empty.
"""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_MASK
from evaluation.benchmarks.judging import score_masks
from evaluation.benchmarks.mask_metrics import pooled_frames, region_metrics
from evaluation.submission.mevis import MEVIS_VALID
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import Sample, Task, Turn


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The expression in lower case. UFVideo puts the answer into the prompt too; here the model answers."""
    if style is PromptStyle.PREPARED:
        return prompts.single_turn(prompts.question(sample))
    return prompts.single_turn(f"Please segment the {sample.expression.lower()} in this image.")


RULE = "mean over all frames of an expression, those without the object too, then over expressions"

MEVIS = Benchmark(
    name="mevis",
    title="MeViS",
    about="MeViS: masks of what an expression names; valid_u is scored, valid submitted",
    accepts=(Task.SEGMENT,),
    baseline=CONSTANT_MASK,
    formats=("meta_expressions",),
    prompt=prompt,
    score=score_masks,  # of one expression: mean over its frames
    metrics=(
        *region_metrics(RULE),
        pooled_frames(),
    ),
    footnote="J, F: mean over all frames of an expression, then over expressions. UFVideo's averaging: only "
    "frames where the object shows, all of them in one mean.",
    submission=MEVIS_VALID,
)
