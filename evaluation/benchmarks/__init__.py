"""Benchmark families, one file each."""

from __future__ import annotations

from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.charades_sta import CHARADES_STA
from evaluation.benchmarks.mevis import MEVIS
from evaluation.benchmarks.mvbench import MVBENCH
from evaluation.benchmarks.ufvideo_bench import UFVIDEO_BENCH
from evaluation.benchmarks.videorefer_bench_q import VIDEOREFER_BENCH_Q
from pipeline.plan.evaluation import BenchmarkFamily

BENCHMARKS: dict[BenchmarkFamily, Benchmark] = {
    b.family: b for b in (MVBENCH, VIDEOREFER_BENCH_Q, MEVIS, CHARADES_STA, UFVIDEO_BENCH)
}
