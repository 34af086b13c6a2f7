"""Two ways to do one thing, timed in turn in one process, as a table with their ratio."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TURN = 0.02  # seconds; what takes microseconds is called many times, as timeit does

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """``plain`` is the baseline. Both return what they made, and ``same`` says whether that agrees.

    ``once``: one call a turn even of what takes microseconds, so that caches are full of the other way.
    """

    what: str
    plain: Callable[[], Any]
    ours: Callable[[], Any]
    same: Callable[[Any, Any], bool]
    once: bool = False


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
        f"`python -m benchmarks.{title} --write`: best of {repeats} turns each, {platform.machine()}; a turn "
        f"calls as often as {_TURN * 1e3:.0f} ms allow, at least once.",
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
            calls, spent = 0, 0.0
            begun = time.perf_counter()
            while not calls or (spent < _TURN and not pair.once):
                result = way()
                calls, spent = calls + 1, time.perf_counter() - begun
            best[k] = min(best[k], spent / calls)
            made.append(result)
        assert pair.same(*made), f"{pair.what}: the two ways do not agree"
    return best[0], best[1]


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
