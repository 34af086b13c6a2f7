"""The display of ``ufvideo run``: one line per step, and a bar for each part of the running step."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.progress import Cadence, duration, field_text


class Display(Protocol):
    """Receives the events of a run; a context manager."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *error: object) -> None: ...
    def start(self, step: str) -> None: ...
    def progress(self, step: str, message: Mapping[str, Any]) -> None: ...
    def finish(self, step: str, state: str, note: str = "") -> None: ...
    def say(self, text: str) -> None: ...


def choose_display(steps: Sequence[str], states: Mapping[str, str]) -> Display:
    """Bars in a terminal, lines in a pipe. ``states`` are the steps' states at the start."""
    return _Live(steps, states) if sys.stdout.isatty() else _Lines(steps)


@dataclass
class _Part:
    done: int = 0
    total: int | None = None
    text: str = ""
    end: bool = False


@dataclass
class _Row:
    state: str
    note: str = ""
    begun: float = 0.0
    took: float = 0.0
    parts: dict[str, _Part] = field(default_factory=dict)


def _place(step: str, steps: Sequence[str]) -> str:
    """``step 4 of 9``; nothing for the only one."""
    return f"step {list(steps).index(step) + 1} of {len(steps)}" if len(steps) > 1 and step in steps else ""


class _Lines:
    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = steps
        self._begun: dict[str, float] = {}
        self._cadence = Cadence()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def start(self, step: str) -> None:
        self._begun[step] = time.monotonic()
        place = _place(step, self._steps)
        print(f"{step}: started{', ' if place else ''}{place}", flush=True)

    def progress(self, step: str, message: Mapping[str, Any]) -> None:
        if line := self._cadence.line(message, step):
            print(f"  {line}", flush=True)

    def finish(self, step: str, state: str, note: str = "") -> None:
        took = time.monotonic() - self._begun.get(step, time.monotonic())
        print(f"{step}: {state} in {duration(took)}  {note}".rstrip(), flush=True)

    def say(self, text: str) -> None:
        print(text, flush=True)


class _Live:
    def __init__(self, steps: Sequence[str], states: Mapping[str, str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._rows = {s: _Row(states.get(s, "waiting")) for s in steps}
        # No redirection: nothing else prints meanwhile, and a traceback must not be cut.
        self._live = Live(
            self, console=Console(), refresh_per_second=8, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> _Live:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def start(self, step: str) -> None:
        row = self._rows[step]
        row.state, row.begun, row.note = "running", time.monotonic(), _place(step, list(self._rows))

    def progress(self, step: str, message: Mapping[str, Any]) -> None:
        part = self._rows[step].parts.setdefault(str(message["title"]), _Part())
        part.done, part.total = int(message.get("done") or 0), message.get("total")
        part.text, part.end = field_text(message.get("fields") or {}), bool(message.get("end"))

    def finish(self, step: str, state: str, note: str = "") -> None:
        row = self._rows[step]
        row.state, row.note, row.took = state, note, time.monotonic() - row.begun

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        marks = {
            "done": ("✓", "green"),
            "kept": ("✓", "dim"),
            "running": ("▶", "cyan"),
            "failed": ("✗", "red"),
        }
        table = Table.grid(padding=(0, 1))
        for _ in range(5):
            table.add_column(no_wrap=True)
        for name, row in self._rows.items():
            mark, style = marks.get(row.state, ("·", "dim"))
            took = time.monotonic() - row.begun if row.state == "running" else row.took
            clock = duration(took) if row.begun else ""
            table.add_row(
                Text(mark, style),
                Text(name, style),
                Text(row.state, style),
                Text(clock),
                Text(row.note, "dim"),
            )
            parts = list(row.parts.items())
            shown = [p for p in parts if not p[1].end] or parts[-1:]
            for title, part in shown if row.state == "running" else ():
                bar = ProgressBar(
                    total=part.total or None, completed=part.done, width=24, pulse=not part.total
                )
                count = f"{part.done}/{part.total}" if part.total else f"{part.done}"
                table.add_row("", Text(f"  {title}"), bar, Text(count), Text(part.text))
        return table
