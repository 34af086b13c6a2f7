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

from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import MetricRow, Score, rows
from pipeline.dataset.manifest import SourceEntry
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.storage.location import Location

SCORES, METRICS = "scores.parquet", "metrics.json"

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
    ]
)


def write_scores(out: Location, scores: Mapping[str, Sequence[Score]]) -> None:
    """One row per sample and measure."""
    table = pa.Table.from_pylist(
        [
            {
                "benchmark": source,
                "key": score.key,
                "video": score.video,
                "category": score.category,
                "measure": measure,
                "value": value,
                "weight": score.weights.get(measure, 1.0),
                "failure": score.failures.get(measure),
                "clamped": score.clamped,
            }
            for source, group in scores.items()
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
        for row in rows(b.source, benchmark_of(b.family).metrics, scores.get(b.source, ()))
    ]


def summary(
    benchmarks: Sequence[BenchmarkConfig],
    scores: Mapping[str, Sequence[Score]],
    prepared: Mapping[str, SourceEntry],
) -> dict[str, Any]:
    """By benchmark: how it was asked, how many of its samples were scored, and why some failed.

    ``available`` samples passed preparation; of ``read`` records those in ``rejects`` did not, by reason.
    ``no_time_read`` counts, by the parser's reason, the samples that ask for a time and whose answer names
    none that could be read; ``clamped`` those whose answer was cut at the ends of the video.
    """
    return {
        b.source: {
            "family": str(b.family),
            "style": str(b.style),
            "samples": len(scores.get(b.source, ())),
            "available": prepared[b.source].kept,
            "read": prepared[b.source].read,
            "rejects": dict(prepared[b.source].rejects),
            "failures": _counted(s.failure for s in scores.get(b.source, ())),
            "no_time_read": _counted(s.refusal for s in scores.get(b.source, ())),
            "clamped": sum(s.clamped for s in scores.get(b.source, ())),
        }
        for b in benchmarks
    }


def _counted(reasons: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(reason for reason in reasons if reason).items()))


def write_metrics(
    out: Location, metrics: Sequence[MetricRow], counts: Mapping[str, Any], made_from: Mapping[str, str]
) -> None:
    """``metrics.json``; values are in 0-1."""
    content = {
        "made_from": dict(made_from),
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
