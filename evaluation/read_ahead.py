"""Items of an iterator that a thread makes ahead of their use, such as decoded frames: a few, in order."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")
_POLL_S = 0.1  # how soon the thread sees that nobody takes its items any more


@contextmanager
def ahead(items: Iterable[T], count: int) -> Iterator[Iterator[T]]:
    """``items`` in their order, up to ``count`` of them made before they are asked for.

    An error of the iterator is raised where its item is asked for. The thread ends with the block.
    """
    made: Queue[tuple[bool, Any]] = Queue(count)
    ended = threading.Event()

    def put(entry: tuple[bool, Any]) -> bool:
        while not ended.is_set():
            try:
                made.put(entry, timeout=_POLL_S)
            except Full:
                continue
            return True
        return False

    def fill() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:  # raised again where the item is used
            put((False, error))

    def take() -> Iterator[T]:
        while True:
            is_item, value = made.get()
            if not is_item:
                if value is not None:
                    raise value
                return
            yield value

    thread = threading.Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        ended.set()
        while thread.is_alive():  # it may wait for room
            try:
                made.get_nowait()
            except Empty:
                thread.join(_POLL_S)
