"""The MLflow run of a plan while its steps are made, and the process that sends all its runs to MLflow."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.artifacts.inputs import log_file
from pipeline.artifacts.survey import PlanStatus, with_records
from pipeline.errors import UserError
from pipeline.jobs import interrupt
from pipeline.jobs.mlflow_store import Destination
from pipeline.jobs.owner import OWNER, owner_token, start_time
from pipeline.jobs.spool import Spool
from pipeline.jobs.tracking import Parent, PlanRun
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials

SENDER = "UFVIDEO_SENDER"  # in the environment: the process whose sender sends for this one, too
WAIT_S = 60.0  # at the end, for what is not sent yet; MLflow that is away says so much sooner
STOPPED_S = 1.0  # at the end of a command that a signal has stopped
_HOME = Path(__file__).resolve().parents[2]

Say = Callable[[str], None]


@contextmanager
def tracked_plan(plan: Plan, plan_status: PlanStatus, say: Say) -> Iterator[PlanRun | None]:
    """Inside, the run of the plan is RUNNING, and a process sends its runs to MLflow.

    On leaving, it waits a short time for what is not sent yet; a line says what is left, and why. None where
    a command that started this process does all that.
    """
    if _sent_by_another():
        yield None
        return
    with _sender(plan, say), PlanRun(plan, Parent.of(plan, plan_status.fingerprints)) as run:
        try:
            yield run
        finally:
            if not interrupt.interrupted():
                run.describe(_table(with_records(plan_status)))


def send_leftovers(plan: Plan, say: Say) -> None:
    """Send what earlier commands could not, if there is anything."""
    if not _sent_by_another() and Spool.of(plan).files():
        with _sender(plan, say):
            pass


@contextmanager
def _sender(plan: Plan, say: Say) -> Iterator[None]:
    try:
        destination = Destination.of(plan)
    except UserError as error:
        say(f"Note: nothing is sent to MLflow. {error}")
        yield
        return
    before = os.environ.get(SENDER)
    os.environ[SENDER] = owner_token()
    process = _Process(destination, log_file(plan, "mlflow"))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SENDER, None)
        else:
            os.environ[SENDER] = before
        if line := _line(process.finish(), destination):
            say(line)


class _Process:
    """The sender's process. Its outcome comes line by line."""

    def __init__(self, destination: Destination, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        paths = [str(_HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.jobs.sender"],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C in a terminal reaches the command alone
            )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(destination.to_json()) + "\n")
        self._process.stdin.flush()
        threading.Thread(target=self._read, name="sender", daemon=True).start()

    def finish(self) -> dict[str, Any]:
        """Wait for its end, and end it after a while. Returns the last outcome, as far as there is one."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it may have died
            self._process.stdin.close()
        ends_at = time.monotonic() + (STOPPED_S if interrupt.interrupted() else WAIT_S)
        outcome: dict[str, Any] = {}
        while (left := ends_at - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                if self._process.wait() == 0:
                    return outcome
                return {**outcome, "problem": f"its process failed, see {self._log}"}
            outcome = json.loads(line)
        self._process.kill()
        self._process.wait()
        return {**outcome, "problem": outcome.get("problem") or "it did not answer in time"}

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)


def _line(outcome: dict[str, Any], destination: Destination) -> str:
    """One line about what is not in MLflow; empty if everything is."""
    uri, spool = without_credentials(destination.uri), without_credentials(destination.spool.uri)
    parts = []
    if left := len(Spool(destination.spool).files()):
        parts.append(
            f"MLflow at {uri} does not have everything yet ({outcome.get('problem', 'it came late')}): "
            f"{left} files are kept in {spool}, and the next `ufvideo run` sends them"
        )
    if outcome.get("refused"):
        parts.append(
            f"MLflow refused {outcome['refused']} entries ({outcome['why_refused']}); they are in "
            f"{without_credentials(outcome['refused_in'])}"
        )
    return f"Note: {'. '.join(parts)}." if parts else ""


def _sent_by_another() -> bool:
    """Whether a command that started this process has a sender."""
    for token in filter(None, (os.environ.get(SENDER), os.environ.get(OWNER))):
        pid, _, begun = token.partition(":")
        if token != owner_token() and begun and start_time(int(pid)) == begun:
            return True
    return False


def _table(plan_status: PlanStatus) -> str:
    """What the run's page says of the steps, as Markdown."""
    rows = ["| step | digest | made | seconds | folder |", "|---|---|---|---|---|"]
    for spec in plan_status.specs:
        made = plan_status.artifacts[spec.name]
        if made is None:
            rows.append(f"| {spec.name} | not made | | | |")
        else:
            record, place = made.record, without_credentials(made.location.uri)
            rows.append(
                f"| {spec.name} | `{record.digest[:12]}` | {record.created} | {record.seconds} | {place} |"
            )
    return "\n".join(rows)
