"""A stage's rows of metrics on their way to MLflow; one failed write must not cost a stage its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from pipeline.errors import UserError
from pipeline.jobs.tracking import Run, end_status, tracking_uri
from pipeline.storage.credentials import without_credentials

_SEND_EVERY_S: Final = 1.0
_RETRY_AFTER_S: Final = 10.0
_LAST_TRIES_S: Final = (0.0, 1.0, 3.0, 9.0)
"""Pauses before the tries at the end of a stage."""

Rows = list[tuple[int, dict[str, float]]]


class Metrics:
    """Sends rows in the background and keeps each one until it is known to be written.

    As a context manager it ends the MLflow run with FAILED when an error passes, with KILLED when the stage
    is stopped; ``close`` ends it well.
    """

    def __init__(self, open_run: Callable[[], Run]) -> None:
        self._open = open_run
        self._run: Run | None = None
        self._rows: Rows = []
        self._lock = threading.Lock()  # of the rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is not None and self._send() is None and self._run is not None:
            with suppress(Exception):  # the error that passes is the one to tell
                self._run.finish(end_status(kind))

    @property
    def run(self) -> Run:
        """The MLflow run, for what is written once at the start. Raises its errors."""
        if self._run is None:
            self._run = self._open()
        return self._run

    def add(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Take rows, as (step, values), and return at once."""
        with self._lock:
            self._rows += [(step, dict(row)) for step, row in rows]

    @property
    def unsent(self) -> Rows:
        """Rows that MLflow may not have."""
        with self._lock:
            return list(self._rows)

    def close(self, tags: Mapping[str, str]) -> None:
        """Send what is left and a few last tags, and end the run. UserError if MLflow fails for good."""
        self._stop.set()
        self._thread.join()
        error: Exception | None = None
        for pause in _LAST_TRIES_S:
            time.sleep(pause)
            error = self._send()
            if error is None:
                try:
                    for name, value in tags.items():
                        self.run.set_tag(name, value)
                    self.run.finish()
                    return
                except Exception as failed:
                    error, self._run = failed, None
        where = without_credentials(tracking_uri(self._open().plan))
        raise UserError(
            f"tracking.uri: {where}",
            f"does not take the stage's last metrics: {type(error).__name__}: "
            f"{without_credentials(str(error))[:300]}.",
            "The weights are saved: see to MLflow and give the command again; nothing is trained twice.",
        ) from error

    def _follow(self) -> None:
        pause = _SEND_EVERY_S
        while not self._stop.wait(pause):
            pause = _SEND_EVERY_S if self._send() is None else _RETRY_AFTER_S

    def _send(self) -> Exception | None:
        """One try to send everything; the error if it failed."""
        rows = self.unsent
        if not rows:
            return None
        try:
            for step, row in rows:
                self.run.log_metrics(row, step)
            self.run.flush()
        except Exception as error:
            self._run = None  # a Run keeps its first error; the next one goes on with the same MLflow run
            return error
        with self._lock:
            del self._rows[: len(rows)]
        return None
