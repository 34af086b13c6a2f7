"""Two ways to do one thing, timed in turn in one process, as a table with their ratio."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """``plain`` is the baseline. Both return what they made, and ``same`` says whether that agrees."""

    what: str
    plain: Callable[[], Any]
    ours: Callable[[], Any]
    same: Callable[[Any, Any], bool]


def main(title: str, about: str, pairs: Sequence[Pair], repeats: int = 5) -> None:
    """Measure, print, and with ``--write`` keep the table in docs/benchmarks."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/<title>.md")
    options = parser.parse_args()
    lines = [
        f"# {title.replace('_', ' ').capitalize()}",
        "",
        f"{about}",
        "",
        f"`python -m benchmarks.{title} --write`: best of {repeats} turns each, {platform.machine()}.",
        "",
        "| What | plain | here | ratio |",
        "|---|---:|---:|---:|",
    ]
    for pair in pairs:
        plain, ours = _measure(pair, repeats)
        lines.append(f"| {pair.what} | {_shown(plain)} | {_shown(ours)} | {plain / ours:.1f} |")
        print(lines[-1], flush=True)
    if options.write:
        DOCS.mkdir(parents=True, exist_ok=True)
        (DOCS / f"{title}.md").write_text("\n".join(lines) + "\n")


def _measure(pair: Pair, repeats: int) -> tuple[float, float]:
    """Seconds of both, in turn, so that a busy machine hits both; a difference in what they make ends it."""
    best = [float("inf"), float("inf")]
    for _ in range(repeats):
        made = []
        for k, way in enumerate((pair.plain, pair.ours)):
            begun = time.perf_counter()
            made.append(way())
            best[k] = min(best[k], time.perf_counter() - begun)
        assert pair.same(*made), f"{pair.what}: the two ways do not agree"
    return best[0], best[1]


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
