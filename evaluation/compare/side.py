"""One side of a comparison: every sample's scores as written by an evaluation or `ufvideo score`."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.metrics.aggregate import MetricRow, Score
from evaluation.scores import METRICS, SCORE_SCHEMA, SCORES
from pipeline.errors import StorageError, UserError
from pipeline.plan.benchmarks import FAMILIES
from pipeline.storage.location import Location

_OF_SAMPLE = ("benchmark", "key", "video", "category")
_OF_MEASURE = ("measure", "value", "weight", "failure")


@dataclass(frozen=True, kw_only=True)
class Side:
    """``scores`` by entry and key; ``families`` by entry; ``unscored`` entries have samples but no scores.

    ``rows`` are those of ``metrics.json``, none if there is no such file. ``made_from`` is what it names as
    its sources.
    """

    place: str
    scores: dict[str, dict[str, Score]]
    families: dict[str, str]
    unscored: tuple[str, ...] = ()
    rows: tuple[MetricRow, ...] = ()
    made_from: dict[str, str] = field(default_factory=dict)


def read_side(text: str) -> Side:
    """A folder with ``scores.parquet``, or that file. Raises UserError for anything else."""
    place = Location.parse(text)
    file = place if place.name.endswith(".parquet") else place / SCORES
    try:
        table = pq.read_table(io.BytesIO(file.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            file.uri,
            "does not exist.",
            "Name the folder of an evaluation, a folder that `ufvideo score BENCHMARK --out` has written "
            "(`ufvideo score masks` keeps no samples), or a scores.parquet.",
        ) from None
    except pa.ArrowInvalid as error:
        raise UserError(file.uri, f"is not a Parquet file ({error}).", "Score again.") from None
    if lacking := [name for name in (*_OF_SAMPLE, *_OF_MEASURE) if name not in table.column_names]:
        raise UserError(
            file.uri,
            f"has no column {', '.join(lacking)}: it was written by another version or by other code.",
            f"Score again; its columns are to be {', '.join(SCORE_SCHEMA.names)}.",
        )
    content = _metrics(text, file)
    scores = _scores(table, file.uri)
    described = content.get("benchmarks", {})
    return Side(
        place=text,
        scores=scores,
        families={entry: _family(entry, content) for entry in scores},
        unscored=tuple(name for name in described if name not in scores),
        rows=tuple(MetricRow(**row) for row in content.get("metrics", ())),
        made_from=content.get("made_from", {}),
    )


def _metrics(text: str, file: Location) -> dict[str, Any]:
    """``metrics.json`` beside the scores, or nothing where there is none."""
    beside = Location.parse(file.uri.rpartition("/")[0] or "/") / METRICS
    try:
        content: dict[str, Any] = json.loads(beside.read_bytes())
        for row in content.get("metrics", ()):
            MetricRow(**row)
    except FileNotFoundError:
        return {}
    except StorageError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(beside.uri, f"is damaged ({error}).", f"Score {text} again.") from None
    return content


def _family(entry: str, content: dict[str, Any]) -> str:
    """The family of an entry; empty if nothing says it."""
    if family := content.get("benchmarks", {}).get(entry, {}).get("family"):
        return str(family)
    return entry if entry in FAMILIES.names() else ""


def _scores(table: pa.Table, where: str) -> dict[str, dict[str, Score]]:
    columns = [table[name].to_pylist() for name in (*_OF_SAMPLE, *_OF_MEASURE)]
    rules = table["read_by"].to_pylist() if "read_by" in table.column_names else [""] * table.num_rows
    found: dict[str, dict[str, _Sample]] = {}
    for entry, key, video, category, measure, value, weight, failure, rule in zip(
        *columns, rules, strict=True
    ):
        sample = found.setdefault(entry, {}).setdefault(
            key, _Sample(video or "", category or "", read_by=rule or "")
        )
        if measure in sample.values or measure in sample.missing:
            raise UserError(where, f"{entry} has {measure} of {key} twice.", "Score again.")
        if value is None:
            sample.missing[measure] = failure or "no value"
            continue
        sample.values[measure] = value
        sample.weights[measure] = weight
        if failure:
            sample.failures[measure] = failure
    return {
        entry: {key: Score(key=key, **vars(sample)) for key, sample in group.items()}
        for entry, group in found.items()
    }


@dataclass
class _Sample:
    """A sample while its rows are read."""

    video: str
    category: str
    read_by: str = ""
    values: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
