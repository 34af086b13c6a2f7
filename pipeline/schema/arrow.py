"""Sample <-> Parquet columns. ``docs/data-format.md`` describes every column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from pipeline.errors import UserError
from pipeline.schema.sample import MaskTrack, Role, Sample, Task, TimeSpan, Turn, VideoRef
from pipeline.schema.version import SCHEMA_VERSION

_VERSION_KEY = b"ufvideo_schema_version"

_SPAN = pa.struct(
    [("start_s", pa.float64()), ("end_s", pa.float64()), ("start_bin", pa.int16()), ("end_bin", pa.int16())]
)
_TRACK = pa.struct(
    [
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("frames", pa.list_(pa.int32())),
        ("counts", pa.list_(pa.string())),
    ]
)
_VIDEO = pa.struct(
    [
        ("path", pa.string()),
        ("frames", pa.list_(pa.string())),
        ("num_frames", pa.int32()),
        ("fps", pa.float64()),
        ("duration_s", pa.float64()),
        ("duration_source", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)
SAMPLE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("dataset", pa.string()),
        ("task", pa.string()),
        ("video", _VIDEO),
        ("turns", pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))),
        ("regions", pa.list_(_TRACK)),
        ("targets", pa.list_(_TRACK)),
        ("spans", pa.list_(_SPAN)),
        ("question_spans", pa.list_(_SPAN)),
        ("instants", pa.list_(_SPAN)),
        ("clip", _SPAN),
        ("expression", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer_index", pa.int16()),
        ("category", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()},
)


def to_row(sample: Sample) -> dict[str, Any]:
    """A sample as one row of SAMPLE_SCHEMA."""
    return {
        "key": sample.key,
        "dataset": sample.dataset,
        "task": str(sample.task),
        "video": {name: getattr(sample.video, name) for name in VideoRef.__slots__},
        "turns": [{"role": str(t.role), "text": t.text} for t in sample.turns],
        "regions": [_track_row(t) for t in sample.regions],
        "targets": [_track_row(t) for t in sample.targets],
        "spans": [_span_row(s) for s in sample.spans],
        "question_spans": [_span_row(s) for s in sample.question_spans],
        "instants": [_span_row(s) for s in sample.instants],
        "clip": _span_row(sample.clip) if sample.clip else None,
        "expression": sample.expression,
        "choices": sample.choices,
        "answer_index": sample.answer_index,
        "category": sample.category,
    }


def from_row(row: Mapping[str, Any]) -> Sample:
    """The sample of one row (as ``Table.to_pylist`` gives it)."""
    return Sample(
        key=row["key"],
        dataset=row["dataset"],
        task=Task(row["task"]),
        video=VideoRef(**{**row["video"], "frames": tuple(row["video"]["frames"])}),
        turns=tuple(Turn(role=Role(t["role"]), text=t["text"]) for t in row["turns"]),
        regions=tuple(_track(t) for t in row["regions"]),
        targets=tuple(_track(t) for t in row["targets"]),
        spans=tuple(TimeSpan(**s) for s in row["spans"]),
        question_spans=tuple(TimeSpan(**s) for s in row["question_spans"]),
        instants=tuple(TimeSpan(**s) for s in row["instants"]),
        clip=TimeSpan(**row["clip"]) if row["clip"] else None,
        expression=row["expression"],
        choices=tuple(row["choices"]),
        answer_index=row["answer_index"],
        category=row["category"],
    )


def to_table(samples: Iterable[Sample]) -> pa.Table:
    """Samples as an Arrow table of SAMPLE_SCHEMA."""
    return pa.Table.from_pylist([to_row(s) for s in samples], schema=SAMPLE_SCHEMA)


def check_schema(schema: pa.Schema, where: str) -> None:
    """Raise UserError unless a shard's schema is this version's."""
    version = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise UserError(
            where,
            f"holds samples of schema version {version}, this code reads version {SCHEMA_VERSION}.",
            "Prepare the dataset again with this version: `ufvideo run PLAN` makes it under a new name.",
        )
    if not schema.equals(SAMPLE_SCHEMA, check_metadata=False):
        raise UserError(
            where,
            "says the right schema version but has other columns.",
            "The file was altered; prepare it again.",
        )


def _track_row(track: MaskTrack) -> dict[str, Any]:
    return {"height": track.height, "width": track.width, "frames": track.frames, "counts": track.counts}


def _track(row: Mapping[str, Any]) -> MaskTrack:
    return MaskTrack(
        height=row["height"], width=row["width"], frames=tuple(row["frames"]), counts=tuple(row["counts"])
    )


def _span_row(span: TimeSpan) -> dict[str, Any]:
    return {name: getattr(span, name) for name in TimeSpan.__slots__}
