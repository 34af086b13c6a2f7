"""Compares two implementations, timed alternately in one process, as a table with their ratio."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TURN = 0.02  # seconds; a function that takes microseconds is called many times, as timeit does

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """``plain`` is the baseline. Both return their results, and ``same`` says whether these agree.

    ``once``: one call per turn even if it takes microseconds, so that caches hold the data of the other one.
    """

    what: str
    plain: Callable[[], Any]
    ours: Callable[[], Any]
    same: Callable[[Any, Any], bool]
    once: bool = False


def main(title: str, about: str, pairs: Sequence[Pair], repeats: int = 5) -> None:
    """Measure, print, and with ``--write`` write the table to docs/benchmarks."""
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


def publish(title: str, text: str, *, write: bool) -> None:
    """Print a page, and with ``write`` keep it as docs/benchmarks/<title>.md."""
    if write:
        DOCS.mkdir(parents=True, exist_ok=True)
        (DOCS / f"{title}.md").write_text(text)
    print(text)


def _measure(pair: Pair, repeats: int) -> tuple[float, float]:
    """Seconds of both, alternately, so that a busy machine affects both. Raises if their results differ."""
    best = [float("inf"), float("inf")]
    for _ in range(repeats):
        results = []
        for k, function in enumerate((pair.plain, pair.ours)):
            calls, spent = 0, 0.0
            begun = time.perf_counter()
            while not calls or (spent < _TURN and not pair.once):
                result = function()
                calls, spent = calls + 1, time.perf_counter() - begun
            best[k] = min(best[k], spent / calls)
            results.append(result)
        assert pair.same(*results), f"{pair.what}: the two results do not agree"
    return best[0], best[1]


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
