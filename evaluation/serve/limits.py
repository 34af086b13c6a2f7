"""What the page accepts, and how it refuses the rest: a status, and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import UserError

QUESTION_BYTES = 64 * 1024  # of a question's JSON
QUESTION_LETTERS = 2000
MOST_REGIONS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much is accepted. The first two are options of the command."""

    upload_bytes: int
    length_s: float
    waiting: int = 16  # questions in the queue
    open_videos: int = 20  # the oldest one that no question is about makes room for another
    arriving: int = 4  # uploads at a time


class RequestError(Exception):
    """A request that is refused: an HTTP status, and where, what is wrong and what to do."""

    def __init__(self, status: int, where: str, problem: str, fix: str = "") -> None:
        self.status = status
        self.error = UserError(where, problem, fix)
        super().__init__(str(self.error))


def size_text(count: int) -> str:
    """A number of bytes for people: 12.3 MB, in units of 1000."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def length_text(seconds: float) -> str:
    """A length for people: 12.3 s, or 4 min 20 s."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
