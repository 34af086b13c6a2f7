"""The doctor without Ray: every piece of its work is done in this process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from datasets_prep import run
from datasets_prep.doctor import __main__, examine

Sources = list[dict[str, Any]]
Work = Callable[[Any], pa.Table]


def spread_here(
    title: str, pieces: Sequence[Any], work: Work, total: int | None = None
) -> Iterator[pa.Table]:
    """What Ray does, in this process: every piece of work is pickled and unpickled."""
    for piece in pieces:
        yield work(pickle.loads(pickle.dumps(piece)))


def do_without_ray(monkeypatch: pytest.MonkeyPatch, spread: Callable[..., Any] = spread_here) -> None:
    """Call ``spread`` wherever Ray would do the work."""
    monkeypatch.setattr(run, "spread", spread)
    monkeypatch.setattr(run, "each", spread_here)
    monkeypatch.setattr(examine, "spread", spread)
    monkeypatch.setattr(examine, "share", lambda value, make: lambda: make(value))
    monkeypatch.setattr(__main__, "connect", lambda config: nullcontext())


def doctor(plan: Path, out: Path, *sets: str) -> int:
    """The exit code of the doctor's own command."""
    return __main__.main(["--plan", str(plan), "--out", str(out), *(a for s in sets for a in ("--set", s))])


def write_plan(folder: Path, sources: Sources, **more: Any) -> Path:
    plan = {
        "name": "ill",
        "storage": {"root": str(folder / "store")},
        "ray": {"num_cpus": 2, "object_store_mb": 150},
        "data": {"sources": sources, "rows_per_shard": 5},  # several chunks of a file
        "model": {"preset": "toy"},
    }
    path = folder / "ill.yaml"
    path.write_text(yaml.safe_dump(plan | more))
    return path


def findings_of(out: Path) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in pq.read_table(out / "findings.parquet").to_pylist():
        found.setdefault((row["source"], row["finding"]), []).append(row["key"].rpartition("/")[2])
    return found
