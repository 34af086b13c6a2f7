"""What a number of ``ufvideo score`` was made from and how: one line for people, and a fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluation.benchmarks import Benchmark
from evaluation.metrics.aggregate import MetricRow
from evaluation.spans import SpanRules
from pipeline.canonical import digest
from pipeline.times.temporal import Outside


def identified(
    rows: Sequence[MetricRow], benchmark: Benchmark, rules: SpanRules, places: Sequence[Path | None]
) -> list[MetricRow]:
    """The rows with the reading of times in their descriptions, and with fingerprints.

    A fingerprint depends on the benchmark, the metric, its protocol and description, and on the truth and the
    predictions at ``places``.
    """
    how = _reading(rules) if benchmark.times else ""
    content, out = _identities(places), []
    for row in rows:
        described = "; ".join(part for part in (row.description, how) if part)
        identity = digest([benchmark.name, row.metric, row.category, row.protocol, described, content])
        out.append(replace(row, description=described, fingerprint=identity[:12]))
    return out


def of_masks(
    measures: Sequence[str], protocol: str, rule: str, places: Sequence[Path | None]
) -> dict[str, str]:
    """The fingerprints of the numbers of ``ufvideo score masks``, by measure."""
    content = _identities(places)
    return {name: digest(["masks", name, protocol, rule, content])[:12] for name in measures}


def _identities(places: Sequence[Path | None]) -> list[str]:
    return [_identity(place) for place in places if place is not None]


def _reading(rules: SpanRules) -> str:
    """The options that change which times are read, where they are not the usual ones."""
    parts = []
    if rules.bare is not None:
        parts.append(f"bare numbers are {rules.bare}")
    if rules.outside is Outside.CLAMP:
        parts.append("times outside are cut")
    return ", ".join(parts)


def _identity(place: Path) -> str:
    """The SHA-256 of a file; of a folder, which may hold gigabytes of masks, names and sizes of its files."""
    if place.is_file():
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return digest([[path.relative_to(place).as_posix(), path.stat().st_size] for path in files])
