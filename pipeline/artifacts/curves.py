"""The metrics of every step of a stage as a Parquet file: one row for each step, one column for each metric.

It is kept with every saved state and with the checkpoint, so that neither a killed process nor a missing
MLflow loses a curve.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.location import Location

CURVES: Final = "curves.parquet"
_STEP, _AT = "step", "at"


class CurveRow(NamedTuple):
    """The metrics of one step. ``at``: when it ended, in seconds since 1970."""

    step: int
    at: float
    values: Mapping[str, float]


def write_curves(place: Location, rows: Sequence[CurveRow]) -> None:
    """Write the file in one act."""
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    columns = {
        _STEP: pa.array([row.step for row in rows], pa.int64()),
        _AT: pa.array([row.at for row in rows], pa.float64()),
        **{name: pa.array([row.values.get(name) for row in rows], pa.float64()) for name in names},
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    place.write_bytes(buffer.getvalue())


def read_curves(place: Location) -> list[CurveRow]:
    """The rows of a file, by step. Raises FileNotFoundError."""
    table = pq.read_table(io.BytesIO(place.read_bytes()))
    return [
        CurveRow(row.pop(_STEP), row.pop(_AT), {name: v for name, v in row.items() if v is not None})
        for row in table.to_pylist()
    ]


def by_metric(rows: Sequence[CurveRow]) -> dict[str, list[tuple[int, float]]]:
    """Every metric as (step, value), ascending by step; for a repeated step its last value."""
    out: dict[str, dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: (row.step, row.at)):
        for name, value in row.values.items():
            out.setdefault(name, {})[row.step] = value
    return {name: list(points.items()) for name, points in sorted(out.items())}
