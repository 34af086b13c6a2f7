"""VideoRefer-Bench-Q: multiple choice about marked objects (https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench)."""

from __future__ import annotations

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.judging import judge_choice
from evaluation.metrics import choice
from evaluation.metrics.aggregate import Metric, Score
from evaluation.prediction import Prediction
from pipeline.plan.evaluation import BenchmarkFamily
from pipeline.records.sample import Sample


def score(sample: Sample, prediction: Prediction) -> Score:
    """One question; its type is the category."""
    judged = judge_choice(sample, prediction, choice.lettered(prediction.text, sample.choices))
    return Score(key=sample.key, category=sample.category, values=judged.values, failures=judged.failures)


VIDEOREFER_BENCH_Q = Benchmark(
    family=BenchmarkFamily.VIDEOREFER_BENCH_Q,
    prompt=prompts.videorefer_bench_q,
    score=score,
    metrics=(
        Metric(name="accuracy", of="accuracy"),
        Metric(name="accuracy, published rule", of="accuracy published", main=False),
    ),
    footnote="VideoRefer-Bench-Q's published rule takes the first letter in brackets, else the first one.",
)
