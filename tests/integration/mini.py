"""The demo plan at a size for tests, and the command that runs it in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import yaml

from pipeline.canonical import plain
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan

REPO = Path(__file__).resolve().parents[2]
DEMO = REPO / "plans" / "demo.yaml"
STEPS = 2

# All of these sizes are larger in the demo plan; every source, step and benchmark is kept.
SMALL = (
    "name=mini",
    "demo.train_videos=6",
    "demo.max_seconds=6",
    "demo.mvbench_items=7",
    "demo.mevis_valid_videos=1",
    "demo.videorefer_bench_items=2",
    "demo.charades_sta_items=2",
    "demo.ufvideo_bench_items=3",
    "data.rows_per_shard=8",  # several shards of one source
    "model.overrides.num_frames=4",
    "model.overrides.num_sam_frames=2",
    "model.overrides.language={num_hidden_layers: 1}",
    "model.weights.videorefer=null",
    "model.tokenizer.path=null",
    f"model.weights.vision={REPO / 'toy_weights' / 'siglip.safetensors'}",
    f"model.weights.sam2={REPO / 'toy_weights' / 'sam2.safetensors'}",
    "model.tokenizer.vocab_size=400",
    *(
        f"stages.{number}.{item}"
        for number in (0, 1)
        for item in (f"steps={STEPS}", "global_batch=8", "layout.micro_batch=4", "layout.save_every=1")
    ),
    "stages.1.layout.workers=1",  # the same global batch in other micro-batches
    "evaluation.actors=1",
    "evaluation.max_new_tokens=4",
    "evaluation.batch_size=8",
    "evaluation.report_samples=1",
)


def write_mini(folder: Path, root: str, *more: str) -> Path:
    """``mini.yaml`` in a folder: storage at ``root``, all local files below the folder."""
    places = (
        f"storage.root={root}",
        f"storage.cache={folder / 'cache'}",
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}",
    )
    path = folder / "mini.yaml"
    path.write_text(yaml.safe_dump(plain(load_plan(str(DEMO), [*SMALL, *places, *more])), sort_keys=False))
    return path


def read_mini(path: Path, *more: str) -> Plan:
    """That plan as the command sees it."""
    return load_plan(str(path), more)


def environment(**more: str) -> dict[str, str]:
    """Environment variables of the command: one thread per call, no settings of an outer Ray or MLflow."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "UFVIDEO_"))}
    # Every process of a run imports torch; without cached bytecode each of them compiles it anew.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"} | more


def start(folder: Path, *arguments: str, out: IO[bytes], **more: str) -> subprocess.Popen[bytes]:
    """``ufvideo ARGUMENTS`` in ``folder``, in a process group of its own."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment(**more), stdout=out, stderr=out, start_new_session=True
    )


def ufvideo(folder: Path, *arguments: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
    """``ufvideo ARGUMENTS`` in ``folder``, to its end."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout_s
    )


def until(condition: Callable[[], object], wait_s: float, what: str) -> None:
    """Wait for a condition; fail with its description."""
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {wait_s:g} s for: {what}"
        time.sleep(0.05)
