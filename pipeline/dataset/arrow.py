"""Samples -> Parquet columns (docs/data-format.md); ``sample_rows`` reads them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import UserError
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from pipeline.records.version import SCHEMA_VERSION

_VERSION_KEY = b"ufvideo_schema_version"

SPAN = pa.struct(
    [("start_s", pa.float64()), ("end_s", pa.float64()), ("start_bin", pa.int16()), ("end_bin", pa.int16())]
)
TRACK = pa.struct(
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
        ("frame_starts_s", pa.list_(pa.float64())),
        ("start_s", pa.float64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("head_sha256", pa.string()),
    ]
)
_TURN = pa.struct([("role", pa.string()), ("text", pa.string())])
SAMPLE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("dataset", pa.string()),
        ("task", pa.string()),
        ("video", _VIDEO),
        ("turns", pa.list_(_TURN)),
        ("regions", pa.list_(TRACK)),
        ("targets", pa.list_(TRACK)),
        ("spans", pa.list_(SPAN)),
        ("question_spans", pa.list_(SPAN)),
        ("instants", pa.list_(SPAN)),
        ("clip", SPAN),
        ("expression", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer_index", pa.int16()),
        ("reference", pa.string()),
        ("category", pa.string()),
    ],
    metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()},
)
# Only shards of a source that keeps void pixels have the column: the bytes of others do not depend on it.
WITH_VOID = SAMPLE_SCHEMA.append(pa.field("void", TRACK))


def to_table(samples: Sequence[Sample]) -> pa.Table:
    """Samples as an Arrow table, by column: several times faster than by row.

    Its schema is SAMPLE_SCHEMA, or WITH_VOID if any sample has void pixels.
    """
    columns = {
        "key": [s.key for s in samples],
        "dataset": _constant([s.dataset for s in samples]),
        "task": [str(s.task) for s in samples],
        "video": _videos([s.video for s in samples]),
        "turns": _lists([s.turns for s in samples], _TURN, _turns),
        "regions": _lists([s.regions for s in samples], TRACK),
        "targets": _lists([s.targets for s in samples], TRACK),
        "spans": _lists([s.spans for s in samples], SPAN),
        "question_spans": _lists([s.question_spans for s in samples], SPAN),
        "instants": _lists([s.instants for s in samples], SPAN),
        "clip": _optional([s.clip for s in samples], SPAN),
        "expression": [s.expression for s in samples],
        "choices": [s.choices for s in samples],
        "answer_index": [s.answer_index for s in samples],
        "reference": _constant([s.reference for s in samples]),
        "category": [s.category for s in samples],
    }
    schema = SAMPLE_SCHEMA
    if any(s.void is not None for s in samples):
        schema, columns["void"] = WITH_VOID, _optional([s.void for s in samples], TRACK)
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, schema.field(name).type)
        for name, values in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def dialogue_table(
    dataset: str,
    *,
    keys: Sequence[str],
    videos: pa.StructArray,
    texts: Sequence[Sequence[str]],
    categories: Sequence[str],
    choices: Sequence[Sequence[str]],
    answer_indices: Sequence[int],
) -> pa.Table:
    """The table of samples that are text dialogues and nothing else, without creating ``Sample`` objects.

    Those with choices are of ``Task.CHOICE``, the others of ``Task.QA``.

    ``videos`` is the column of the samples' videos; ``texts[k]`` are the turns of sample k, user and
    assistant alternating. The result equals ``to_table`` of such samples, in a fraction of the time.
    """
    count = len(keys)
    flat = [*chain.from_iterable(texts)]
    pair = pa.array([Role.USER, Role.ASSISTANT], pa.string())
    roles = pair.take(pa.array(np.arange(len(flat), dtype=np.int32) % 2))
    turns = pa.StructArray.from_arrays([roles, pa.array(flat, pa.string())], fields=[*_TURN])
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    columns = {
        "key": pa.array(keys, pa.string()),
        "dataset": _constant([dataset] * count),
        "task": _constant([(Task.CHOICE if options else Task.QA).value for options in choices]),
        "video": videos,
        "turns": pa.ListArray.from_arrays(pa.array(ends), turns, type=pa.list_(_TURN)),
        "clip": pa.nulls(count, SPAN),
        "expression": _constant([""] * count),
        "choices": pa.array(choices, pa.list_(pa.string())),
        "answer_index": pa.array(answer_indices, pa.int16()),
        "reference": _constant([""] * count),
        "category": pa.array(categories, pa.string()),
    }
    nothing: list[Sequence[Any]] = [()] * count
    for name, kind in (("regions", TRACK), ("targets", TRACK)):
        columns[name] = _lists(nothing, kind)
    for name in ("spans", "question_spans", "instants"):
        columns[name] = _lists(nothing, SPAN)
    return pa.table([columns[name] for name in SAMPLE_SCHEMA.names], schema=SAMPLE_SCHEMA)


def _videos(videos: Sequence[VideoRef]) -> pa.StructArray:
    places: dict[int, int] = {}  # by identity: samples of one video share one VideoRef
    distinct: list[VideoRef] = []
    for ref in videos:
        if id(ref) not in places:
            places[id(ref)] = len(distinct)
            distinct.append(ref)
    return _structs(distinct, _VIDEO).take(pa.array([places[id(ref)] for ref in videos], pa.int32()))


def _structs(items: Sequence[Any], kind: pa.StructType) -> pa.StructArray:
    fields = [kind.field(n) for n in range(kind.num_fields)]
    arrays = [pa.array([getattr(item, f.name) for item in items], f.type) for f in fields]
    return pa.StructArray.from_arrays(arrays, fields=fields)


def _turns(turns: Sequence[Turn], kind: pa.StructType) -> pa.StructArray:
    """As ``_structs``, faster: a dataset has more turns than anything else."""
    arrays = [pa.array([t[0] for t in turns], pa.string()), pa.array([t[1] for t in turns], pa.string())]
    return pa.StructArray.from_arrays(arrays, fields=[kind.field(n) for n in range(kind.num_fields)])


def _lists(
    rows: Sequence[Sequence[Any]],
    kind: pa.StructType,
    make: Callable[[Sequence[Any], pa.StructType], pa.StructArray] = _structs,
) -> pa.ListArray:
    ends = list(accumulate(map(len, rows), initial=0))
    flat = [*chain.from_iterable(rows)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), make(flat, kind), type=pa.list_(kind))


def _constant(texts: Sequence[str]) -> pa.Array:
    if texts and texts.count(texts[0]) == len(texts):
        return pa.repeat(texts[0], len(texts))
    return pa.array(texts, pa.string())


def _optional(items: Sequence[Any | None], kind: pa.StructType) -> pa.Array:
    there = [item for item in items if item is not None]
    if not there:
        return pa.nulls(len(items), kind)
    places = iter(range(len(there)))
    return _structs(there, kind).take(
        pa.array([None if i is None else next(places) for i in items], pa.int32())
    )


def check_schema(schema: pa.Schema, where: str) -> None:
    """Raise UserError unless a shard's schema is this version's."""
    version = (schema.metadata or {}).get(_VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise UserError(
            where,
            f"holds samples of schema version {version}, this code reads version {SCHEMA_VERSION}.",
            "Prepare the dataset again with this version: `ufvideo run PLAN` makes it under a new name.",
        )
    if not any(schema.equals(known, check_metadata=False) for known in (SAMPLE_SCHEMA, WITH_VOID)):
        raise UserError(
            where,
            "says the right schema version but has other columns.",
            "The file was altered; prepare it again.",
        )
