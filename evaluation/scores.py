"""The files that scoring writes: a long table of every sample's measures, and metrics with their counts."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.answer_store import AnswerStore
from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import MetricRow, Score, rows
from evaluation.prediction import Unreadable
from pipeline.canonical import digest, plain
from pipeline.dataset.manifest import SourceEntry
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.storage.location import Location

SCORES, METRICS, UNREADABLE = "scores.parquet", "metrics.json", "unreadable.json"

SCORE_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("key", pa.string()),
        ("video", pa.string()),  # SHA-256 of its content: error bars are to be clustered by it
        ("category", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("weight", pa.float64()),
        ("failure", pa.string()),
        ("clamped", pa.bool_()),  # of the sample: the time in its answer was cut at the ends of the video
        ("read_by", pa.string()),  # of the sample: the rule that found the option in its answer; else empty
    ]
)


def write_scores(out: Location, scores: Mapping[str, Sequence[Score]]) -> None:
    """One row per sample and measure."""
    table = pa.Table.from_pylist(
        [
            {
                "benchmark": entry,
                "key": score.key,
                "video": score.video,
                "category": score.category,
                "measure": measure,
                "value": value,
                "weight": score.weights.get(measure, 1.0),
                "failure": score.failures.get(measure),
                "clamped": score.clamped,
                "read_by": score.read_by,
            }
            for entry, group in scores.items()
            for score in group
            for measure, value in score.values.items()
        ],
        schema=SCORE_SCHEMA,
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    (out / SCORES).write_bytes(buffer.getvalue())


def metric_rows(
    benchmarks: Sequence[BenchmarkConfig], scores: Mapping[str, Sequence[Score]]
) -> list[MetricRow]:
    """Every metric of every benchmark, over everything and by category."""
    return [
        row
        for b in benchmarks
        for row in rows(b.entry, benchmark_of(b.family).metrics, scores.get(b.entry, ()))
    ]


def summary(
    benchmarks: Sequence[BenchmarkConfig],
    scores: Mapping[str, Sequence[Score]],
    prepared: Mapping[str, SourceEntry],
    unreadable: Mapping[str, Sequence[Unreadable]],
    answers: Mapping[str, str],
    truth: str,
) -> dict[str, Any]:
    """By entry: how it was asked, how many of its samples were scored, and why some failed.

    ``available`` samples passed preparation; of ``read`` records those in ``rejects`` did not, by reason.
    ``unreadable`` samples were not asked, since their video cannot be read; they are in no mean.
    ``no_time_read`` counts, by the parser's reason, the samples that ask for a time and whose answer names
    none that could be read; ``read_by`` counts, by rule, those whose answer chooses an option; ``clamped``
    those whose answer was cut at the ends of the video. ``answers`` identifies what was asked of which model,
    ``scored`` how the answers were judged, against which truth.
    """
    return {
        b.entry: {
            "source": b.source,
            "family": str(b.family),
            "style": str(b.style),
            "samples": len(scores.get(b.entry, ())),
            "unreadable": len(unreadable.get(b.entry, ())),
            "available": prepared[b.source].kept,
            "read": prepared[b.source].read,
            "rejects": dict(prepared[b.source].rejects),
            "failures": _counted(s.failure for s in scores.get(b.entry, ())),
            "no_time_read": _counted(s.refusal for s in scores.get(b.entry, ())),
            "read_by": _counted(s.read_by for s in scores.get(b.entry, ())),
            "clamped": sum(s.clamped for s in scores.get(b.entry, ())),
            "answers": answers[b.entry],
            "scored": digest([answers[b.entry], truth, plain(b)]),
        }
        for b in benchmarks
    }


def _counted(reasons: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(reason for reason in reasons if reason).items()))


def write_metrics(
    out: Location,
    metrics: Sequence[MetricRow],
    counts: Mapping[str, Any],
    made_from: Mapping[str, str],
    store: AnswerStore,
) -> None:
    """``metrics.json``; values are in 0-1. ``answer_store`` is where the answers are kept."""
    content = {
        "made_from": dict(made_from),
        "answer_store": store.identity,
        "benchmarks": dict(counts),
        "metrics": [asdict(row) for row in metrics],
    }
    (out / METRICS).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_metrics(location: Location) -> tuple[list[MetricRow], dict[str, Any]]:
    """Rows and the counts by benchmark of ``metrics.json``. Raises UserError if it is missing or damaged."""
    place = location / METRICS
    try:
        content = json.loads(place.read_bytes())
        return [MetricRow(**row) for row in content["metrics"]], content["benchmarks"]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            place.uri, f"holds no metrics ({error}).", "Evaluate this checkpoint again."
        ) from error
