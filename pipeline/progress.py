"""Progress of long work: a bar in a terminal, marked lines in a Ray job, occasional lines in a pipe."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

PROGRESS_ENV = "UFVIDEO_PROGRESS"  # "json": print marked lines that `ufvideo run` draws as bars
MARK = "@@progress "
JSON_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0
PACE_AFTER_S = 2.0  # before, a pace says little


class _Out(Protocol):
    every_s: float

    def show(self, track: Track, *, last: bool) -> None: ...


class Track:
    """One piece of work: ``done`` of ``total`` (None: unknown), and named values such as the loss."""

    def __init__(self, title: str, total: int | None, out: _Out) -> None:
        self.title, self.total, self.done = title, total, 0
        self.fields: dict[str, Any] = {}
        self.started = time.monotonic()
        self._out, self._shown = out, -1e9

    def advance(self, n: int = 1, **fields: Any) -> None:
        """Add ``n`` to the number done."""
        self.update(self.done + n, **fields)

    def update(self, done: int, **fields: Any) -> None:
        """Set the number done."""
        self.done = done
        self.fields.update(fields)
        now = time.monotonic()
        if now - self._shown >= self._out.every_s:
            self._shown = now
            self._out.show(self, last=False)

    def values(self) -> dict[str, Any]:
        """The named values, and of work whose total is known the pace and the time left."""
        took, left = time.monotonic() - self.started, (self.total or 0) - self.done
        if took < PACE_AFTER_S or self.done <= 0 or left <= 0:
            return dict(self.fields)
        pace = self.done / took
        return self.fields | {"pace": f"{pace:.3g}/s", "left": duration(left / pace, digits=0)}

    def text(self) -> str:
        """These on one line: ``loss 1.234  lr 0.0001  pace 2.5/s  left 40 s``."""
        return field_text(self.values())


def duration(seconds: float, digits: int = 1) -> str:
    """``3.2 s``, ``4:05 min``, ``2:03:00 h``. ``digits`` are those of seconds below a minute."""
    if seconds < 60:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def field_text(fields: dict[str, Any]) -> str:
    """Named values on one line, numbers to four digits."""
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in fields.items())


@contextmanager
def track(title: str, total: int | None = None) -> Iterator[Track]:
    """Show the progress of the ``with`` block. Cheap: shown a few times a second at most."""
    out = _choose()
    part = Track(title, total, out)
    out.show(part, last=False)
    ended = False
    try:
        yield part
        ended = True
    finally:
        if ended and total is None:
            part.total = part.done
        out.show(part, last=True)


def announce(step: str, state: str, digest: str = "") -> None:
    """In a Ray job, tell ``ufvideo run`` that a step starts or is done; one job may make several."""
    if os.environ.get(PROGRESS_ENV) == "json":
        sys.stdout.write(f"{MARK}{json.dumps({'step': step, 'state': state, 'digest': digest})}\n")
        sys.stdout.flush()


class Cadence:
    """Chooses the messages to print as lines: for each part one at intervals, and its last."""

    def __init__(self) -> None:
        self._shown: dict[object, float] = {}

    def line(self, message: Mapping[str, Any], part: object = None) -> str | None:
        """The line for a message of ``parse`` that has a title, or None if it is too soon for one."""
        key, now = (part, message["title"]), time.monotonic()
        if not message.get("end") and now - self._shown.setdefault(key, now) < PLAIN_EVERY_S:
            return None
        self._shown[key] = now
        total = f"/{message['total']}" if message.get("total") else ""
        fields = field_text(message.get("fields") or {})
        return f"{message['title']}: {message.get('done')}{total}  {fields}".rstrip()


def parse(line: str) -> dict[str, Any] | None:
    """The message of a marked line: (title, done, total, fields, end) or (step, state, digest); else None."""
    at = line.find(MARK)
    if at < 0:
        return None
    try:
        message = json.loads(line[at + len(MARK) :])
    except ValueError:
        return None
    return message if isinstance(message, dict) and ("title" in message or "step" in message) else None


def _choose() -> _Out:
    if os.environ.get(PROGRESS_ENV) == "json":
        return _JsonOut()
    if sys.stdout.isatty():
        return _BarOut()
    return _PlainOut()


class _JsonOut:
    every_s = JSON_EVERY_S

    def show(self, track: Track, *, last: bool) -> None:
        message = {
            "title": track.title,
            "done": track.done,
            "total": track.total,
            "fields": track.values(),
            "end": last,
        }
        # One write: workers share the pipe, and a torn line would not be a message.
        sys.stdout.write(f"{MARK}{json.dumps(message, default=str)}\n")
        sys.stdout.flush()


class _PlainOut:
    every_s = PLAIN_EVERY_S

    def show(self, track: Track, *, last: bool) -> None:
        if not last and not track.done:
            return
        total = "" if track.total is None else f"/{track.total}"
        took = f"{time.monotonic() - track.started:.0f} s"
        print(f"{track.title}: {track.done}{total}  {took}  {track.text()}".rstrip(), flush=True)


class _BarOut:
    every_s = 0.1

    def __init__(self) -> None:
        self._bars: Any = None
        self._task: Any = None

    def show(self, track: Track, *, last: bool) -> None:
        if self._bars is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[values]}"),
                refresh_per_second=5,
            )
            self._task = self._bars.add_task(track.title, total=track.total, values="")
            self._bars.start()
        self._bars.update(self._task, completed=track.done, total=track.total, values=track.text())
        if last:
            self._bars.stop()
