"""The files that scoring writes: a long table of every sample's measures, and metrics with their counts."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.answer_store import AnswerStore
from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import MetricRow, Score, Unit, rows
from evaluation.prediction import Unreadable
from pipeline.canonical import digest
from pipeline.dataset.manifest import SourceEntry
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig
from pipeline.records.sample import Task
from pipeline.storage.location import Location
from pipeline.times.temporal import Outside

SCORES, METRICS, UNREADABLE = "scores.parquet", "metrics.json", "unreadable.json"

SCORE_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("key", pa.string()),
        ("video", pa.string()),  # SHA-256 of its content: the cluster for error bars
        ("category", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),  # null: a mark that the judge did not give; ``failure`` says why
        ("weight", pa.float64()),
        ("failure", pa.string()),
        ("clamped", pa.bool_()),  # per sample: the time in its answer was cut at the ends of the video
        ("read_by", pa.string()),  # per sample: the rule that found the option in its answer; otherwise empty
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
                "failure": score.missing.get(measure) or score.failures.get(measure),
                "clamped": score.clamped,
                "read_by": score.read_by,
            }
            for entry, group in scores.items()
            for score in group
            for measure, value in {**score.values, **dict.fromkeys(score.missing)}.items()
        ],
        schema=SCORE_SCHEMA,
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    (out / SCORES).write_bytes(buffer.getvalue())


def metric_rows(
    benchmarks: Sequence[BenchmarkConfig],
    scores: Mapping[str, Sequence[Score]],
    asked: Mapping[str, str] = MappingProxyType({}),
    scored: Mapping[str, str] = MappingProxyType({}),
    judged_by: Mapping[str, str] = MappingProxyType({}),
) -> list[MetricRow]:
    """Every metric of every benchmark, over everything and by category.

    ``asked`` says by entry how the model was asked, in one line; ``scored`` identifies answers, truth and
    the entry's rules; ``judged_by`` names the judge of its marks. Together with the metric's own rule they
    are the row's description and fingerprint.
    """

    def of_entry(b: BenchmarkConfig) -> list[MetricRow]:
        family = benchmark_of(b.family)
        return rows(b.entry, family.metrics, scores.get(b.entry, ()), family.baseline)

    out = []
    # Threads, because most of the time goes into the draws of the bootstrap, which do not hold the GIL.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = list(pool.map(of_entry, benchmarks))
    for b, of_benchmark in zip(benchmarks, made, strict=True):
        for row in of_benchmark:
            judge = judged_by.get(b.entry, "") if row.unit == Unit.MARK else ""
            parts = (row.description, judge, asked.get(b.entry, ""))
            identity = digest([scored.get(b.entry, ""), row.protocol, row.metric, row.description])
            described = "; ".join(part for part in parts if part)
            out.append(replace(row, description=described, fingerprint=identity[:12]))
    return out


def how_asked(benchmark: BenchmarkConfig, config: EvaluationConfig, sizes: Mapping[str, Any] | None) -> str:
    """How the answers of an entry are obtained, in one line; ``sizes`` are those of the model."""
    family = benchmark_of(benchmark.family)
    parts = []
    if sizes:
        vision, sam2 = sizes["vision"]["image_size"], sizes["sam2"]["image_size"]
        parts.append(f"{sizes['num_frames']} frames, resized to {vision} x {vision} pixels")
        if Task.SEGMENT in family.accepts or Task.COOPERATIVE in family.accepts:
            prompted = "every frame" if config.prompted_frames is None else str(config.prompted_frames)
            parts.append(f"masks at {sam2} x {sam2} pixels, [SEG] prompts {prompted}")
    parts.append(f"prompt {benchmark.style}")
    parts.append(f"greedy, at most {config.max_new_tokens} tokens")
    parts.append(device_of(config))
    if benchmark.bare_times:
        parts.append(f"bare numbers are {benchmark.bare_times}")
    if benchmark.outside_times is Outside.CLAMP:
        parts.append("times outside are cut")
    if benchmark.limit:
        parts.append(f"{benchmark.limit} samples chosen by name")
    return ", ".join(parts)


def device_of(config: EvaluationConfig) -> str:
    """Kind of device and number format that the answers are computed in."""
    return "cuda bfloat16" if config.use_gpu else "cpu float32"


def summary(
    benchmarks: Sequence[BenchmarkConfig],
    scores: Mapping[str, Sequence[Score]],
    prepared: Mapping[str, SourceEntry],
    unreadable: Mapping[str, Sequence[Unreadable]],
    answers: Mapping[str, str],
    scored: Mapping[str, str],
) -> dict[str, Any]:
    """By entry: how it was asked, how many of its samples were scored, and why some failed.

    ``available`` samples passed preparation; of ``read`` records those in ``rejects`` did not, by reason.
    ``unreadable`` samples were not asked because their video cannot be read; they are in no mean.
    ``no_time_read`` counts, by the parser's reason, the samples that ask for a time and whose answer has no
    readable one; ``read_by`` counts, by rule, those whose answer chooses an option; ``clamped`` those whose
    answer was cut at the ends of the video. ``answers`` identifies what was asked of which model, ``scored``
    how the answers were judged, against which truth.
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
            "scored": scored[b.entry],
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
    """``metrics.json``; values are in 0-1, marks in 0-5. ``answer_store`` is where the answers are kept."""
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
