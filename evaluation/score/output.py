"""What ``ufvideo score`` prints and writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import asdict
from typing import Any

from evaluation.judge.marking import write as write_judgements
from evaluation.metrics.aggregate import MetricRow, Unit
from evaluation.report.table import WIDTH, number_text
from evaluation.score.run import Scored
from evaluation.scores import METRICS, write_scores
from pipeline.storage.location import Location
from pipeline.text_table import TextTable, terminal_width

PROBLEMS = "problems.json"
NAMED = 5  # of each kind of problem, on the screen


def progress_apart(json_wanted: bool) -> AbstractContextManager[object]:
    """Progress goes to stderr where stdout is to be JSON alone."""
    return redirect_stdout(sys.stderr) if json_wanted else nullcontext()


def chosen_rows(rows: Sequence[MetricRow], protocol: str | None) -> list[MetricRow]:
    """The rows of a protocol, or all of them."""
    return [row for row in rows if protocol is None or row.protocol == protocol]


def content(scored: Scored, rows: Sequence[MetricRow], made_from: dict[str, str]) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "benchmark": scored.benchmark.name,
        "made_from": made_from,
        "samples": scored.samples,
        "read_from": scored.matched.fields,
        "problems": {name: len(items) for name, items in problems(scored).items()},
        "metrics": [asdict(row) for row in rows],
    }


def problems(scored: Scored) -> dict[str, list[str]]:
    """What does not fit, by kind: names of samples and of predictions."""
    failed = [f"{s.key.partition('/')[2]}: {s.failure}" for s in scored.scores if s.failure]
    found = {
        "samples without a prediction": scored.matched.missing,
        "predictions of no sample": scored.matched.extra,
        "predictions that fit samples of several videos": scored.matched.ambiguous,
        "predictions of a sample that had one": scored.matched.repeated,
        "predictions with the id of another sample than their video and words": scored.matched.contradicting,
        "records of the truth that cannot be used": [f"{u.key}: {u.reason}" for u in scored.unusable],
        "failures": failed,
    }
    if scored.marked is not None:
        lacking = [(score.key, why) for score in scored.scores for why in [*score.missing.values()][:1]]
        found["answers without a mark"] = [f"{key.partition('/')[2]}: {why}" for key, why in lacking]
    return found


def write(out: Location, scored: Scored, rows: Sequence[MetricRow], made_from: dict[str, str]) -> None:
    """``metrics.json``, ``scores.parquet`` and ``problems.json``; with a judge, what it said."""
    write_scores(out, {scored.benchmark.name: scored.scores})
    text = json.dumps(content(scored, rows, made_from), indent=1, ensure_ascii=False)
    (out / METRICS).write_text(text + "\n")
    if scored.marked is not None:
        write_judgements(out, scored.marked, None)
    (out / PROBLEMS).write_text(json.dumps(problems(scored), indent=1, ensure_ascii=False) + "\n")


def show(scored: Scored, rows: Sequence[MetricRow]) -> None:
    """The table at the terminal's width: all samples first, then by category; and what did not fit."""
    from rich.console import Console

    width = terminal_width() or WIDTH
    print(fitting_table(scored, rows, width).text(width))
    console = Console(highlight=False, width=width)
    if scored.benchmark.marks and scored.marked is None:
        console.print(
            f"Not judged: {', '.join(scored.benchmark.marks)}. --judge-url and --judge-model name a language "
            "model that marks them, --judge-cache a folder with its judgements.",
            markup=False,
        )
    if any(row.baseline_name for row in rows):
        name = next(row.baseline_name for row in rows if row.baseline_name)
        console.print(f"± is the standard error by video; the baseline is {name}.", markup=False)
    if fields := scored.matched.fields:
        told = ", ".join(f"{name} ({count:,})" for name, count in fields.items())
        console.print(f"Answers were read from: {told}.", markup=False)
    for kind, items in problems(scored).items():
        if items:
            more = [f"and {len(items) - NAMED:,} more"] if len(items) > NAMED else []
            named = "; ".join([*items[:NAMED], *more])
            console.print(f"{kind[0].upper()}{kind[1:]} ({len(items):,}): {named}", markup=False)


def fitting_table(scored: Scored, rows: Sequence[MetricRow], width: int) -> TextTable:
    """With intervals, unless the table fits only without them; one that never fits is a list with all."""
    every, short = (_table(scored, rows, intervals) for intervals in (True, False))
    return short if short.fits(width) and not every.fits(width) else every


def _table(scored: Scored, rows: Sequence[MetricRow], intervals: bool) -> TextTable:
    whole = [row for row in rows if not row.category]
    parts = [row for row in rows if row.category and row.main]
    given, total = len(scored.matched.given), scored.samples
    return TextTable(
        title=f"{scored.benchmark.title}: {given:,} of {total:,} samples predicted",
        names=("samples", "metric"),
        numbers=("protocol", "%", "±", *(["95%"] if intervals else []), "baseline", "samples", "failed"),
        rows=tuple(
            (row.category or "all", row.metric, row.protocol, *_numbers(row, intervals))
            for row in (*whole, *parts)
        ),
        notes=(),
    )


def _numbers(row: MetricRow, intervals: bool) -> tuple[str, ...]:
    scale, places = (1, 2) if row.unit == Unit.MARK else (100, 1)  # marks are from 0 to 5
    interval = ""
    if row.low is not None and row.high is not None:
        interval = f"{scale * row.low:.{places}f} to {scale * row.high:.{places}f}"
    return (
        "–" if row.value is None else f"{scale * row.value:.2f}",
        "" if row.error is None else f"{scale * row.error:.2f}",
        *([interval] if intervals else []),
        number_text(row.baseline, row.unit) if row.baseline is not None else "",
        f"{row.samples:,}",
        f"{row.failures:,}",
    )
