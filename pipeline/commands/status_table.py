"""The table of ``ufvideo status``: a line for each step, unwrapped in a pipe and wrapped in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.artifacts.steps import Decision, Kind, State
from pipeline.artifacts.survey import PlanStatus
from pipeline.progress import duration

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


def state_and_next(plan: str, plan_status: PlanStatus, decisions: Sequence[Decision]) -> str:
    """How much is made, where to look at it, and what to type next. ``plan`` as it was typed, with --set."""
    todo = [d.spec.name for d in decisions if d.state is State.TODO]
    count, pages = len(decisions), ""
    state = f"{len(todo)} of {count} steps still to make." if todo else f"All {count} steps are done."
    for name, what in () if todo else (("report", "Page"), ("prepare", "Data")):
        made = plan_status.artifacts.get(name)
        if made and (found := made.location.list(".html")):
            pages = f" {what}: {found[0].uri}"
            break
    return "\n".join(filter(None, (state + pages, next_command(plan, plan_status, decisions))))


def next_command(plan: str, plan_status: PlanStatus, decisions: Sequence[Decision]) -> str:
    """What to type next: run what is missing, else ask the last checkpoint; nothing if there is none."""
    if any(d.state is State.TODO for d in decisions):
        return f"Next: ufvideo run {plan}"
    stages = [d.spec.name for d in decisions if d.spec.kind is Kind.STAGE]
    made = plan_status.artifacts.get(stages[-1]) if stages else None
    return f"Next: ufvideo predict {made.location.uri} VIDEO QUESTION" if made else ""
