"""Benchmark families, one file each: its prompt, its score of one sample, its metrics and its row."""

from __future__ import annotations

from evaluation.benchmarks.base import Benchmark
from pipeline.plan.benchmarks import FAMILIES


def benchmark_of(family: str) -> Benchmark:
    """The benchmark of a name, ours or another package's. Raises ValueError for a name that nothing has."""
    row = FAMILIES[family]
    if not isinstance(row, Benchmark):
        raise ValueError(f"the benchmark {family} is registered without a score; make it a Benchmark")
    return row


__all__ = ["Benchmark", "benchmark_of"]
