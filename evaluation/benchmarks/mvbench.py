"""MVBench: twenty tasks of multiple choice (https://huggingface.co/datasets/OpenGVLab/MVBench)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_choice
from evaluation.metrics import choice
from evaluation.metrics.aggregate import Metric, Over, Score
from evaluation.prediction import Prediction
from pipeline.plan.evaluation import BenchmarkFamily
from pipeline.records.sample import Sample


def score(sample: Sample, prediction: Prediction) -> Score:
    """One question under three matching rules."""
    judged = judge_choice(sample, prediction, choice.published(prediction.text, sample.choices))
    return Score(key=sample.key, category=sample.category, values=judged.values, failures=judged.failures)


MVBENCH = Benchmark(
    family=BenchmarkFamily.MVBENCH,
    prompt=prompts.mvbench,
    score=score,
    metrics=(
        Metric(name="accuracy", of="accuracy"),
        Metric(name="accuracy, mean of tasks", of="accuracy", over=Over.CATEGORIES),
        Metric(name="accuracy, UFVideo's rule", of="accuracy published", main=False),
        Metric(name="accuracy, MVBench's rule", of="accuracy first word", main=False),
    ),
    footnote="Accuracy: the answer must name its option beyond doubt. UFVideo's rule takes the first capital "
    "letter anywhere and C where there is none; MVBench's rule looks at the first word.",
)
