"""``ufvideo status`` of a plan with very many small files below a source."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.compare import publish

FILES, PER_FOLDER = 100_000, 500
PLAN = """\
name: many
storage: {{root: {root}/store, cache: {root}/cache}}
data:
  sources:
    - {{name: labels, format: llava_video, annotations: {root}/files, media: [{root}/media]}}
model: {{preset: toy}}
"""


def write_files(root: Path, suffix: str) -> None:
    """FILES small files, as for a set of label images or of one annotation file per video."""
    for number in range(FILES):
        if number % PER_FOLDER == 0:
            folder = root / "files" / f"{number // PER_FOLDER:04d}"
            folder.mkdir(parents=True)
        (folder / f"{number % PER_FOLDER:05d}{suffix}").write_text(str(number))
    (root / "media").mkdir()
    (root / "plan.yaml").write_text(PLAN.format(root=root))


def status_s(root: Path) -> tuple[float, float]:
    """Seconds of one ``ufvideo status``, including the start of Python: wall-clock and CPU time."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pipeline", "status", "plan.yaml"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ, cwd=root)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    core_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, core_s


def measure() -> Iterator[tuple[str, tuple[float, float], tuple[float, float]]]:
    """For each kind of file: its name, the first answer, and the best of five more."""
    for what, suffix in (("label images", ".png"), ("annotation files", ".json")):
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), suffix)
            time.sleep(3)  # digests of files that were just written are not cached
            yield what, status_s(Path(folder)), min(status_s(Path(folder)) for _ in range(5))


def page() -> str:
    """The page that shows it."""
    before = os.getloadavg()[0]
    rows = list(measure())
    load, cores = max(before, os.getloadavg()[0]), os.cpu_count() or 1
    shared = f" Others were at work: {load:.0f} processes shared {cores} cores, so the clock says little."
    lines = [
        "# status",
        "",
        f"`ufvideo status` of a plan with {FILES:,} files below a source, the start of Python included. "
        "The aim is 2 s. The content of annotation files is hashed once, and remembered by size and time of "
        "writing; label images count by their sizes.",
        "",
        f"`python -m benchmarks.status --write`: the first answer and the best of five more, "
        f"{platform.machine()}; on the clock, and seconds of a core." + (shared if load > cores else ""),
        "",
        "| Files | first | of a core | later | of a core |",
        "|---|---:|---:|---:|---:|",
    ]
    for what, first, later in rows:
        lines.append(f"| {what} | " + " | ".join(f"{s:.2f} s" for s in (*first, *later)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/status.md")
    publish("status", page(), write=parser.parse_args().write)
