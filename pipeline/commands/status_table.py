"""The table of ``ufvideo status``: a line for each step, unwrapped in a pipe and wrapped in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.artifacts.steps import Decision, State
from pipeline.artifacts.survey import PlanStatus

_SHOWN = (
    *("sources", "corpora", "kept", "rejected", "shards", "vocabulary", "parameters", "steps", "samples"),
    *("epochs", "failures", "lines"),
)
"""The entries of a summary that the table shows; the record has all of them."""
_PIPE_WIDTH = 100_000  # in a pipe no line is folded or cut


def print_table(plan_status: PlanStatus, decisions: Sequence[Decision]) -> None:
    """State, age, duration and counts of every step, and the folder of its artifact."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("step", "state", "why", "took", "counts", "artifact"):
        table.add_column(name, justify="right" if name == "took" else "left", overflow="fold")
    for decision in decisions:
        made = plan_status.artifacts[decision.spec.name]
        done = decision.state is State.DONE
        table.add_row(
            Text(decision.spec.name, "" if done else "bold"),
            Text(str(decision.state), "green" if done else "yellow"),
            Text(decision.reason),
            Text(duration(made.record.seconds) if made else ""),
            Text(counts(made.record.summary) if made else ""),
            Text(plan_status.folder(decision.spec.name).uri, "dim"),
        )
    console = Console() if terminal else Console(width=_PIPE_WIDTH, force_terminal=False, color_system=None)
    if terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip()))


def counts(summary: Mapping[str, Any]) -> str:
    """The numbers of a step's summary that say how large it is: ``samples 1,234, failures 3``."""
    numbers = dict(summary)
    sources = summary.get("sources")
    if isinstance(sources, Mapping):  # a dataset counts by source
        for name in ("kept", "rejected"):
            numbers[name] = sum(entry.get(name, 0) for entry in sources.values())
    shown = []
    for name in _SHOWN:
        value = numbers.get(name)
        if isinstance(value, Mapping | list | tuple):
            value = len(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown.append(f"{name} {value:,}")
    return ", ".join(shown)


def duration(seconds: float) -> str:
    """``3.2 s``, ``4:05 min``, ``2:03:00 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def next_command(plan: str, plan_status: PlanStatus, decisions: Sequence[Decision]) -> str:
    """What to type next: run what is missing, or look at the result. ``plan`` as it was typed, with --set."""
    todo = [d.spec.name for d in decisions if d.state is State.TODO]
    if todo:
        return f"{len(todo)} of {len(decisions)} steps still to make: ufvideo run {plan}"
    for name, what in (("report", "Page"), ("prepare", "Data")):
        made = plan_status.artifacts.get(name)
        if made and (pages := made.location.list(".html")):
            return f"All {len(decisions)} steps are done. {what}: {pages[0].uri}"
    return f"All {len(decisions)} steps are done."
