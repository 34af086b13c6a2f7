"""Follows one Ray job: its lines into a log file, its progress into the display, its failure to the user."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import progress
from pipeline.errors import UserError
from pipeline.jobs.display import Display

if TYPE_CHECKING:
    from pipeline.jobs.server import JobServer, Outcome

TAIL_LINES = 25
_ERROR = "error: "
_RAY_NEWS = re.compile(r"job_manager\.py|^Running entrypoint for job")


class JobFollower:
    """Follows a job step by step. ``log`` gives the local file for the lines of a step.

    Without ``log`` another process keeps them. ``done_steps`` are the steps that the job reported as done.
    """

    def __init__(self, display: Display, step: str, log: Callable[[str], Path] | None) -> None:
        self.display, self.step, self._log_of = display, step, log
        self.done_steps: set[str] = set()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._cadence = progress.Cadence()

    def follow(self, server: JobServer, job: str, *, stops: bool = True) -> Outcome:
        """Process every line until the job ends. With ``stops``, Ctrl-C stops the job."""
        from pipeline.jobs.server import follow_job, stop_job, wait_for_job

        with closing(follow_job(server, job, stops=stops)) as lines:
            for line in lines:
                self.take(line)
        try:
            return wait_for_job(server, job)
        except KeyboardInterrupt:  # the lines may have ended because the server is away
            if stops:
                stop_job(server, job)
            raise

    def note(self, line: str) -> None:
        """Write a line into the step's log."""
        if self._log_of is None:
            return
        path = self._log_of(self.step)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def fail(self, outcome: Outcome) -> int:
        """Print how the job failed. Returns the exit code; raises the job's UserError."""
        self.display.finish(self.step, "failed")
        self.display.__exit__(None, None, None)
        mistakes = [line for line in self.tail if line.startswith(_ERROR)]
        if outcome.exit_code == 2 and mistakes:
            where, _, rest = mistakes[-1].removeprefix(_ERROR).partition(": ")
            raise UserError(where, rest)
        log = self._log_of(self.step) if self._log_of else "its log"
        print(f"\n{self.step} failed. The last lines of {log}:", file=sys.stderr)
        for line in self.tail or [outcome.message]:
            print(f"  {line}", file=sys.stderr)
        print("Run the same command again to go on from here.", file=sys.stderr)
        return 1

    def take(self, line: str) -> None:
        """Show a line of progress, write any other line into the log."""
        message = progress.parse(line)
        if message is None:
            self.note(line)
            if line.strip() and not _RAY_NEWS.search(line):
                self.tail.append(line)
        elif "title" in message:
            self.display.progress(self.step, message)
            if text := self._cadence.line(message, self.step):
                self.note(text)
        elif message["state"] == "done":
            self.done_steps.add(message["step"])
            self.display.finish(message["step"], "done", f"digest {message['digest'][:12]}")
        elif message["step"] != self.step:
            self.step = message["step"]
            self.tail.clear()
            self.display.start(self.step)
