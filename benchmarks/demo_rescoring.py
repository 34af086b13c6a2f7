"""The demo scored again by `ufvideo run`: every answer is stored, and one rule is another."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from pipeline.plan.load import load_plan

TURNS = 3
_KINDS = ("evaluate-*", "report")


def rescore(finished: Path, plan: str, work: Path) -> list[float]:
    """Seconds of the whole command, for each of TURNS.

    ``finished`` is the storage root of a run of ``plan``, of which a copy in ``work`` is used. The rule is
    what to do with a time outside the video; it concerns one benchmark, but all evaluations are made again.
    """
    root = work / "demo"
    shutil.copytree(finished, root)
    config = load_plan(plan).evaluation
    assert config is not None, "the plan has no evaluation"
    number = next(n for n, b in enumerate(config.benchmarks) if b.family == "charades_sta")
    settled = ["run", plan, "--set", f"storage.root={root}"]
    changed = [*settled, "--set", f"evaluation.benchmarks.{number}.outside_times=clamp"]
    _ufvideo(settled)  # in another place the data are prepared again, and some code may be newer
    before, seconds = _artifacts(root), []
    for _ in range(TURNS):
        begun = time.monotonic()
        _ufvideo(changed)
        seconds.append(time.monotonic() - begun)
        made = _artifacts(root) - before
        assert len(made) == len(config.checkpoints) + 1, f"{len(made)} evaluations and reports were made"
        for folder in made:
            shutil.rmtree(folder)
    return seconds


def _artifacts(root: Path) -> set[Path]:
    return {folder for kind in _KINDS for folder in root.glob(f"{kind}/*")}


def _ufvideo(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
