"""Sends what is in a spool to MLflow: ``python -m pipeline.jobs.sender``, a process beside the work.

Importing MLflow and opening its database take seconds, which no step has to wait for. One process at a time
sends the entries of a spool; they are deleted once MLflow has them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TextIO

from pipeline.jobs import claim
from pipeline.jobs.mlflow_store import Destination
from pipeline.jobs.spool import Entry, Spool
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location
from pipeline.without_pandas import without_pandas

CLAIM = "send"
LOOK_EVERY_S = 1.0
RETRY_AFTER_S = 10.0
_FILES = 64  # that are sent together
_ORPHAN_S = 10.0  # for the rest, once the process that started this one is gone
_LAST_PAUSE_S = 1.0  # before the last try
_NICE = 10  # the work comes first


@dataclass
class Outcome:
    """What became of the entries: files that were sent or are left, and what MLflow refused."""

    sent: int = 0
    left: int = 0
    refused: int = 0
    refused_in: str = ""
    why_refused: str = ""
    problem: str = ""  # why the rest could not be sent


class Sender:
    """Sends the entries of one spool, in order."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._spool = Spool(destination.spool)
        self._writer: Any = None
        self.outcome = Outcome()

    def send(self, tell: Callable[[], None] = lambda: None) -> bool:
        """Send everything that is there; ``tell`` is called after each part. False if MLflow failed."""
        try:
            if self._writer is None and self._spool.files():
                from pipeline.jobs.mlflow_writer import MlflowWriter

                self._writer = MlflowWriter(self.destination)
                tell()
            while files := self._spool.files():
                self.outcome.left = len(files)
                self._send_part(files[:_FILES])
                self.outcome.left -= len(files[:_FILES])
                tell()
        except Exception as error:
            self._writer = None
            self.outcome.problem = f"{type(error).__name__}: {_one_line(str(error))}"
            return False
        self.outcome.left, self.outcome.problem = 0, ""
        return True

    def look(self) -> None:
        """Count what is left, without sending."""
        with suppress(Exception):
            self.outcome.left = len(self._spool.files())

    def _send_part(self, files: list[Location]) -> None:
        entries, damaged = _read(files)
        refused = self._writer.write(entries)
        if aside := [dict(one.entry) | {"why": one.why} for one in refused] + damaged:
            self.outcome.refused_in = self._spool.refuse(aside).uri
            self.outcome.refused += len(aside)
            self.outcome.why_refused = str(aside[0]["why"])
        for place in files:
            place.delete()
        self.outcome.sent += len(files)


def send_now(plan: Plan) -> Outcome:
    """Send a plan's entries in this process; for tests and tools. Waits for another sender."""
    destination = Destination.of(plan)
    while (own := claim.take(destination.spool, CLAIM, "send_now")) is None:
        time.sleep(0.05)
    try:
        sender = Sender(destination)
        sender.send()
        return sender.outcome
    finally:
        own.release()


def main() -> int:
    """The process: reads its destination from the first line of stdin, and ends once stdin is closed.

    Every change of its outcome is a line of JSON on stdout.
    """
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no outcome
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # for the command that started it, which then closes stdin
    with suppress(OSError):
        os.nice(_NICE)
    sender = Sender(Destination.from_json(json.loads(sys.stdin.readline())))
    closed = threading.Event()
    threading.Thread(target=_wait_for_end, args=(closed,), daemon=True).start()
    tell = partial(_tell, sender, lines)
    with without_pandas():  # MLflow imports it with itself
        _serve(sender, closed, tell)
    tell()
    return 0


def _serve(sender: Sender, closed: threading.Event, tell: Callable[[], None]) -> None:
    own, pause, ends_at = None, 0.0, float("inf")
    while True:
        last = closed.wait(pause) or closed.is_set()
        if last:
            ends_at = min(ends_at, time.monotonic() + _ORPHAN_S)
        own = own or claim.take(sender.destination.spool, CLAIM, "ufvideo's sender to MLflow")
        if own is None:
            sender.look()  # another process sends them
            pause = 0.1 if last else LOOK_EVERY_S
            if last and (not sender.outcome.left or time.monotonic() > ends_at):
                return
            continue
        fine = sender.send(tell)
        if last:
            if not fine:
                time.sleep(_LAST_PAUSE_S)
                sender.send(tell)
            own.release()
            return
        pause = LOOK_EVERY_S if fine else RETRY_AFTER_S


def _wait_for_end(closed: threading.Event) -> None:
    sys.stdin.read()
    closed.set()


def _tell(sender: Sender, lines: TextIO) -> None:
    with suppress(OSError):  # nobody may be there to read it
        print(json.dumps(asdict(sender.outcome)), file=lines, flush=True)


def _read(files: list[Location]) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries of files, and lines that are no entries."""
    entries: list[Entry] = []
    damaged = []
    for place in files:
        for line in place.read_text().splitlines():
            try:
                entry = json.loads(line)
                entry["run"], entry["do"]
                entries.append(entry)
            except (ValueError, KeyError, TypeError):
                damaged.append({"line": line[:1000], "why": f"{place.uri} is damaged"})
    return entries, damaged


def _one_line(text: str) -> str:
    return " ".join(without_credentials(text).split())[:200]


if __name__ == "__main__":
    sys.exit(main())
