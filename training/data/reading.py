"""Reads a sample until it is read, or until it is known that the sample itself cannot be used.

A read that fails says nothing about a sample, so it is repeated, and if it keeps failing the worker stops: a
substitute would change every later loss because a server was away for a minute. A video that does not
decode may also be a failed read (FFmpeg takes one for the end of the file), so its bytes decide:

1. They are read again from the first to the last, those of a remote video from the server.
2. If that fails, it was a failed read.
3. The video is decoded once more. If it fails again, and its bytes are the same as in the first reading, the
   sample itself is at fault: what was prepared is damaged, or another file is in its place.
4. Bytes that differ between two readings are of a file that is being written: a failed read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from pipeline.draw import draw
from pipeline.errors import StorageError, UserError, is_failed_read
from pipeline.media.same_video import OtherVideoError
from pipeline.media.video import VideoError
from pipeline.records.sample import Sample

MAX_PAUSE_S: Final = 30.0
FIRST_PAUSE_S: Final = 1.0
_IN_DOUBT: Final = (VideoError, OtherVideoError, IndexError)
"""Errors of the content of a file, which a failed read can cause, too."""

_T = TypeVar("_T")


class SampleReader(Protocol):
    """The loader's access to the shards; called from several threads."""

    def sample(self, source: str, row: int) -> Sample:
        """The sample of a row."""

    def read_whole(self, sample: Sample) -> tuple[str, str]:
        """SHA-256 of all bytes of a sample's media as they are now, and as they were when prepared."""

    def media_place(self, sample: Sample) -> str:
        """Where a sample's media should be, for messages: nothing is read."""


@dataclass(slots=True)
class Tries:
    """What was tried for one visit. Written by the thread that reads, seen by the one that waits."""

    failed: int = 0
    """Reads that failed and were repeated."""
    place: str = ""
    """The file that is being read, as far as it is known."""
    what: str = ""
    """What it is read for."""
    since: float | None = None
    """When that began, by ``time.monotonic``; None before it has begun and in the pauses between tries."""


class Reading:
    """Repeats failed reads for up to ``retry_s`` seconds, with pauses that double up to MAX_PAUSE_S.

    ``say`` is given a line for each failed read. Safe to share between threads.
    """

    def __init__(self, reader: SampleReader, *, retry_s: float, say: Callable[[str], None]) -> None:
        self._reader, self._retry_s, self._say = reader, retry_s, say
        self._closed = threading.Event()

    def close(self) -> None:
        """End the pauses of all threads; their reads fail."""
        self._closed.set()

    def row(self, source: str, row: int, tries: Tries) -> Sample:
        """The sample of a row. Raises StorageError."""
        what = f"row {row} of source {source}"
        return self._until_read(lambda: self._reader.sample(source, row), what, "a shard", tries)

    def media(self, sample: Sample, make: Callable[[], _T], tries: Tries) -> _T:
        """The result of ``make``, which reads the media of a sample.

        Raises StorageError if they cannot be read, and other errors of ``make`` if the sample is at fault.
        """
        seen: list[str] = []  # digests of its content, while that is in doubt

        def attempt() -> _T:
            while True:
                try:
                    return make()
                except _IN_DOUBT as error:
                    found, prepared = self._reader.read_whole(sample)
                    if seen and seen[-1] == found:
                        raise
                    seen.append(found)
                    if len(seen) > 1 or (prepared and found != prepared):
                        raise _in_doubt(error, len(seen)) from error

        return self._until_read(attempt, f"sample {sample.key}", self._reader.media_place(sample), tries)

    def _until_read(self, act: Callable[[], _T], what: str, place: str, tries: Tries) -> _T:
        begun = time.monotonic()
        tries.what, tries.place = what, place
        for number, pause_s in enumerate(_pauses(what), 1):
            tries.since = time.monotonic()
            try:
                return act()
            except Exception as error:
                if not is_failed_read(error):
                    raise
                tries.since = None
                place, elapsed_s = _place(error, place), time.monotonic() - begun
                text = f"{type(error).__name__}: {_text(error)}"
                left_s = self._retry_s - elapsed_s
                if left_s <= 0 or self._closed.is_set():
                    raise StorageError(
                        place,
                        f"could not be read for {what}; tried {number} times in {elapsed_s:.1f} s "
                        f"(layout.read_retry_s: {self._retry_s:g}), at last {text}",
                        "When it can be read again, run the same command: the stage goes on from its last "
                        "saved state.",
                    ) from error
                pause_s = min(pause_s, left_s)
                tries.failed += 1
                self._say(
                    f"{place}: could not be read for {what}, is tried again in {pause_s:.1f} s "
                    f"({number} times so far): {text}"
                )
            self._closed.wait(pause_s)
        raise AssertionError("the pauses have no end")


def _in_doubt(error: Exception, readings: int) -> StorageError:
    """For a file that may be half-written: its content is not what was prepared, or changes."""
    what = (
        "has another content in every reading"
        if readings > 1
        else "does not have the content that was prepared"
    )
    return StorageError(error.where if isinstance(error, UserError) else "", f"{what} ({_text(error)})")


def _pauses(what: str) -> Iterator[float]:
    """Seconds between tries. A draw by name spreads them: a server that comes back is not hit at once."""
    pause_s, number = FIRST_PAUSE_S, 0
    while True:
        yield pause_s * (0.75 + 0.5 * draw("pause", what, number) / 2**64)
        pause_s, number = min(2 * pause_s, MAX_PAUSE_S), number + 1


def _place(error: BaseException, file: str) -> str:
    """The file that could not be read, as precisely as the error knows it."""
    if isinstance(error, UserError):
        return error.where or file
    return str(getattr(error, "filename", None) or file)


def _text(error: BaseException) -> str:
    text = error.problem if isinstance(error, UserError) else str(error)
    return " ".join(text.split())[:300]
