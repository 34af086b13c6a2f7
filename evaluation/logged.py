"""What the MLflow run of an evaluation holds: its metrics, and some questions with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.answer_store import AnswerStore, Stored
from evaluation.benchmarks import benchmark_of
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.metrics.aggregate import MetricRow, Score
from evaluation.work import Item, ranked
from pipeline.dataset.reader import ShardReader
from pipeline.jobs.logged_values import metric_name
from pipeline.jobs.step import StepContext
from pipeline.jobs.tracked import model_name, source_digest
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig

EXAMPLES = "examples.json"
_EACH = 4  # examples of each entry
_TEXT = 2000  # characters


def log_metrics(
    context: StepContext, config: EvaluationConfig, rows: Sequence[MetricRow], checkpoint: ScoredCheckpoint
) -> None:
    """Metrics as ``mevis/J_and_F``, with the checkpoint and the source that they belong to."""
    data = context.inputs["prepare"]
    if context.checkpoint is None:  # weights that no plan made are known only once they are fetched
        name = model_name(context.spec.subject.rstrip("/").rpartition("/")[2])
        context.tracker.log_model(name, checkpoint.digest, checkpoint.uri, output=False)
    for benchmark in config.benchmarks:
        values = {
            metric_name(row.benchmark, row.category, row.metric): row.value
            for row in rows
            if row.benchmark == benchmark.entry and row.value is not None
        }
        if values:
            context.tracker.log_metrics(
                values,
                step=0,
                model=checkpoint.digest,
                data=(benchmark.source, source_digest(data, benchmark.source)),
            )


def log_examples(
    context: StepContext,
    config: EvaluationConfig,
    reader: ShardReader,
    store: AnswerStore,
    items: Mapping[str, Sequence[Item]],
    index: Mapping[str, Mapping[tuple[str, str], Stored]],
    scores: Mapping[str, Sequence[Score]],
) -> None:
    """A table of some samples of each entry: the question, the answer, its scores, and why it failed.

    ``items`` are those with an answer, ``scores`` theirs, by entry; where the truth is hidden there are none.
    """
    rows = [
        row
        for b in config.benchmarks
        for row in _rows(b, context.seed, reader, store, items[b.entry], index[b.source], scores[b.entry])
    ]
    if rows:
        context.tracker.log_table(rows, EXAMPLES)


def _rows(
    benchmark: BenchmarkConfig,
    seed: int,
    reader: ShardReader,
    store: AnswerStore,
    items: Sequence[Item],
    index: Mapping[tuple[str, str], Stored],
    scores: Sequence[Score],
) -> list[dict[str, Any]]:
    family, by_key = benchmark_of(benchmark.family), {score.key: score for score in scores}
    chosen = [items[i] for i in ranked([item.key for item in items], seed, "logged")[:_EACH]]
    chosen.sort(key=lambda item: index[item.name][:2])  # each part of the store is read once
    answers = store.read(benchmark.source, [index[item.name] for item in chosen])
    out = []
    for item, answer in zip(chosen, answers, strict=True):
        sample, score = reader.sample(benchmark.source, item.row), by_key.get(item.key)
        values = {} if score is None or item.hidden else score.values
        out.append(
            {
                "benchmark": benchmark.entry,
                "sample": item.key,
                "question": family.prompt(sample, benchmark.style)[0].text[:_TEXT],
                "answer": answer.text[:_TEXT],
                "masks": len(answer.masks),
                "scores": ", ".join(f"{name} {value:.3g}" for name, value in values.items()),
                "failure": (score.failure if score else answer.failure) or "",
            }
        )
    return out
