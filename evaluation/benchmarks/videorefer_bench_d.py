"""VideoRefer-Bench-D: describe an object (https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench).

The single-frame and the multi-frame mode are two sources (``region_mode``), and two entries of a plan.
"""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.marks import answer_text, judge_texts, mark_metrics, without_text
from evaluation.judge.rubric import JudgeTexts
from evaluation.metrics.aggregate import Score
from evaluation.prediction import Prediction
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import REGION, Sample, Task, Turn


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The published question, with a region for each marked object; the benchmark's rows have one."""
    if style is PromptStyle.PREPARED:
        return prompts.single_turn(prompts.question(sample))
    # Counted in the prepared question: truth that is read without its video has no masks.
    regions = ", ".join([f"[{REGION}]"] * prompts.question(sample).count(REGION))
    return prompts.single_turn(
        f"Please give a detailed description of the highlighted object {regions} in the video."
    )


def score(sample: Sample, prediction: Prediction) -> Score:
    """The marks come from the judge; this score only says whether there is a text to mark."""
    return without_text(prediction, answer_text(prediction.text)).score(sample)


def judged(sample: Sample, prediction: Prediction) -> JudgeTexts | None:
    """The whole answer against the caption."""
    question = prompt(sample, PromptStyle.PUBLISHED)[0].text
    return judge_texts(prediction, question, sample.reference, answer_text(prediction.text))


VIDEOREFER_BENCH_D = Benchmark(
    name="videorefer_bench_d",
    title="VideoRefer-Bench-D",
    about="VideoRefer-Bench-D: descriptions of a marked object, marked by a judge",
    accepts=(Task.REFER,),
    formats=("videorefer_bench_d",),
    prompt=prompt,
    score=score,
    judged=judged,
    metrics=mark_metrics("Avg", "descriptions", dimensions=True),
    footnote="VideoRefer-Bench-D: marks of a language model from 0 to 5 for Subject Correspondence (SC), "
    "Appearance Description (AD), Temporal Description (TD) and Hallucination Detection (HD).",
)
