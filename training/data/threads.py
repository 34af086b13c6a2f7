"""Threads that prepare samples, of which one may never come back.

Nothing can end a thread that waits for a file that does not answer. So these do not keep the process from
ending (those of ``concurrent.futures`` do), and one that is given up is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")
_Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class DaemonThreads:
    """Calls functions in the order in which they are submitted, ``number`` at a time."""

    def __init__(self, number: int, name: str) -> None:
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._name, self._started = name, 0
        for _ in range(number):
            self._start(None)

    def submit(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Call a function in one of the threads."""
        future: Future[_T] = Future()
        self._queue.put((future, function, arguments))
        return future

    def replace(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Call a function at once in a new thread, which takes the place of one that does not come back."""
        future: Future[_T] = Future()
        self._start((future, function, arguments))
        return future

    def close(self) -> None:
        """Drop what was not begun, and let the threads end. Does not wait for them."""
        while not self._queue.empty():
            self._queue.get()
        for _ in range(self._started):
            self._queue.put(None)

    def _start(self, first: _Call | None) -> None:
        self._started += 1
        threading.Thread(target=self._run, args=(first,), name=self._name, daemon=True).start()

    def _run(self, call: _Call | None) -> None:
        call = call or self._queue.get()
        while call is not None:
            future, function, arguments = call
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
            del future, function, arguments, call  # a result must not live as long as the thread waits
            call = self._queue.get()
