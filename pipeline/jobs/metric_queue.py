"""The queue of metrics for MLflow: one thread writes them, and each one is kept until it is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

SEND_EVERY_S = 1.0
RETRY_AFTER_S = 10.0
LAST_TRIES_S = (0.0, 1.0, 3.0, 9.0)
"""Pauses between the last tries, in seconds."""
_BATCH = 1000  # MLflow's limit of metrics in one request


class Point(NamedTuple):
    """One value of a metric, with the fields of MLflow's ``Metric``."""

    name: str
    value: float
    stamp_ms: int
    step: int


class MetricQueue:
    """Writes metrics in the background with ``write``, which raises an exception if it fails.

    A failed write is tried again later and at the end; until then the values stay in the queue.
    """

    def __init__(self, write: Callable[[Sequence[Point]], None]) -> None:
        self._write = write
        self._points: list[Point] = []
        self._lock = threading.Lock()  # guards the points
        self._sending = threading.Lock()  # so that none is sent twice
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def put(self, points: Iterable[Point]) -> None:
        """Queue values and return at once."""
        with self._lock:
            self._points += points

    @property
    def unsent(self) -> list[Point]:
        """The values that may not have been written yet."""
        with self._lock:
            return list(self._points)

    def send(self) -> Exception | None:
        """Try once to write all values, in this thread. Returns the error if it failed."""
        with self._sending:
            while batch := self.unsent[:_BATCH]:
                try:
                    self._write(batch)
                except Exception as error:
                    return error
                with self._lock:
                    del self._points[: len(batch)]
        return None

    def stop(self) -> None:
        """End the thread; queued values stay for ``send``."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause = SEND_EVERY_S
        while not self._stop.wait(pause):
            pause = SEND_EVERY_S if self.send() is None else RETRY_AFTER_S


def try_repeatedly(act: Callable[[], None]) -> Exception | None:
    """Try a few times, with growing pauses. Returns the last error if no try succeeded."""
    error: Exception | None = None
    for pause in LAST_TRIES_S:
        time.sleep(pause)
        try:
            act()
            return None
        except Exception as failed:
            error = failed
            if getattr(failed, "error_code", "") == "INVALID_PARAMETER_VALUE":
                break  # MLflow will never accept it
    return error
