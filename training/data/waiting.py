"""Waits for samples that threads prepare, says what it waits for, and gives up one that does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from pipeline.errors import StorageError
from training.data.reading import Tries
from training.data.threads import DaemonThreads

SAY_AFTER_S: Final = 30.0
"""So long a read may take before the log names it; then after twice as long, and so on."""
MAX_GIVEN_UP: Final = 2
"""How often a read is begun that does not come back."""
_LOOK_EVERY_S: Final = 0.5

_Visit = TypeVar("_Visit")
_Done = TypeVar("_Done")


@dataclass(slots=True)
class Waiting(Generic[_Visit, _Done]):
    """One visit that a thread prepares."""

    visit: _Visit
    tries: Tries
    result: Future[_Done]
    given_up: int = field(default=0)


class TimedThreads(Generic[_Visit, _Done]):
    """``number`` threads that prepare visits in order; each read of one may take ``limit_s`` seconds.

    ``prepare`` notes in its second argument what it is reading. ``say`` is given lines for the log.
    """

    def __init__(
        self,
        prepare: Callable[[_Visit, Tries], _Done],
        number: int,
        *,
        limit_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._prepare, self._limit_s, self._say = prepare, limit_s, say
        self._threads = DaemonThreads(number, "loader")

    def begin(self, visit: _Visit) -> Waiting[_Visit, _Done]:
        """Have a visit prepared."""
        tries = Tries()
        return Waiting(visit, tries, self._threads.submit(self._prepare, visit, tries))

    def result(self, one: Waiting[_Visit, _Done]) -> _Done:
        """The prepared visit. Raises what ``prepare`` does, and StorageError past the limit."""
        begun, say_s = one.tries.since, min(SAY_AFTER_S, self._limit_s / 2)
        while not wait([one.result], timeout=min(_LOOK_EVERY_S, self._limit_s / 8)).done:
            since = one.tries.since
            if since is None:
                continue  # waits for a thread, or pauses between two tries
            if since != begun:
                begun, say_s = since, min(SAY_AFTER_S, self._limit_s / 2)
            waited_s = time.monotonic() - since
            if waited_s >= self._limit_s:
                self._give_up(one)
            elif waited_s >= say_s:
                say_s *= 2
                self._say(
                    f"{one.tries.place}: has been read for {waited_s:.0f} s for {one.tries.what}; the limit "
                    f"is {self._limit_s:g} s (layout.read_limit_s)"
                )
        return one.result.result()

    def close(self) -> None:
        """Drop what was not begun. A thread that does not come back stays until the process ends."""
        self._threads.close()

    def _give_up(self, one: Waiting[_Visit, _Done]) -> None:
        """Begin a visit again in a new thread. Raises StorageError if that was done before."""
        one.given_up += 1
        place, what = one.tries.place, one.tries.what
        if one.given_up == MAX_GIVEN_UP:
            raise StorageError(
                place,
                f"did not answer for {what}: read {one.given_up} times, {self._limit_s:g} s each "
                "(layout.read_limit_s).",
                "When it can be read again, run the same command: the stage goes on from its last saved "
                "state. If it only takes long, raise the limit.",
            )
        self._say(f"{place}: did not answer for {what} within {self._limit_s:g} s, is read again")
        one.tries = Tries(failed=one.tries.failed + 1)
        one.result = self._threads.replace(self._prepare, one.visit, one.tries)
