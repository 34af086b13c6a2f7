"""The one time codec: seconds <-> bins 0-99 <-> the time tokens that the model reads and writes.

Contract: bin = round(99 * t / T) with halves rounded up, inverse t = T * bin / 99, so a round trip is off by
at most half a bin, T / 198 seconds (``max_error_s``). Times outside [0, T] are refused unless the caller asks
for ``Outside.CLAMP``. A span is written ``{<TEMP-012><TEMP-047>}``, as UFVideo does.

Other written forms are in ``text.py``, frame numbers in ``frame_times.py``, and what a model printed is
read by ``parser.parse``. docs/temporal.md has the whole contract on one page.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from pipeline.records.sample import TimeSpan

if TYPE_CHECKING:  # plans name `Outside`, and checking a plan takes no numpy
    pass

NUM_BINS = 100
LAST_BIN = NUM_BINS - 1
MAX_ERROR_BINS = 0.5  # of a time that went through a bin and back
NOISE_S = 1e-6  # times closer than this are one time: fractions, frame numbers and clips come with such noise

_TOKEN = r"<TEMP-(\d{3})>"
_WRITTEN = re.compile(r"\{" + _TOKEN + _TOKEN + r"\}")
_SPAN = re.compile(r"[{\[(]?\s*" + _TOKEN + r"\s*(?:,|-|to|and)?\s*" + _TOKEN + r"\s*[}\])]?")


class Outside(StrEnum):
    """What to do with a time before 0 or past the end of its video."""

    REFUSE = "refuse"
    CLAMP = "clamp"
    KEEP = "keep"  # as it is written; for the truth of a benchmark alone, its bins are clamped


def token(bin_: int) -> str:
    """Token of one bin: 41 -> ``<TEMP-041>``."""
    if not 0 <= bin_ <= LAST_BIN:
        raise ValueError(f"bin {bin_} is not in 0-{LAST_BIN}")
    return f"<TEMP-{bin_:03d}>"


TIME_TOKENS = tuple(token(i) for i in range(NUM_BINS))


def max_error_s(duration_s: float) -> float:
    """Worst-case error in seconds of a time that went through a bin and back: half a bin, T / 198.

    For a span of length L both ends may be off, so its IoU with itself after a round trip is at least
    1 - T / (99 * L), and a span shorter than T / 99 may come back without any length.
    """
    return MAX_ERROR_BINS * _length(duration_s) / LAST_BIN


def inside(seconds: float, duration_s: float, outside: Outside = Outside.REFUSE) -> tuple[float, bool]:
    """A time within [0, duration], and whether it had to be clamped for that.

    Noise of up to ``NOISE_S`` beyond either end is removed and does not count as clamped. Raises ValueError
    for a time further out, unless ``outside`` says to clamp it, and always for one that is not finite.
    """
    if not math.isfinite(seconds) or not math.isfinite(duration_s) or duration_s <= 0:
        raise ValueError(f"time {seconds} s in a video of {duration_s} s")
    nearest = min(max(seconds, 0.0), duration_s)
    clamped = abs(nearest - seconds) > NOISE_S
    if clamped and outside is Outside.REFUSE:
        raise ValueError(f"time {seconds:.3f} s is outside its video of {duration_s:.3f} s")
    return nearest, clamped


def to_bin(seconds: float, duration_s: float, outside: Outside = Outside.REFUSE) -> int:
    """Bin of a time. Raises ValueError if it is not within [0, duration], unless ``outside`` says to clamp.

    A caller that clamps and has to count it (they all have to) asks ``inside`` first.
    """
    if not (math.isfinite(seconds) and math.isfinite(duration_s)) or duration_s <= 0:
        raise ValueError(f"time {seconds} s in a video of {duration_s} s")
    if not 0 <= seconds <= duration_s:
        if outside is Outside.REFUSE:
            raise ValueError(f"time {seconds:.3f} s is outside its video of {duration_s:.3f} s")
        seconds = min(max(seconds, 0.0), duration_s)
    return math.floor(LAST_BIN * seconds / duration_s + 0.5)


def to_seconds(bin_: int, duration_s: float) -> float:
    """Time of a bin, in seconds; never past the duration."""
    if not 0 <= bin_ <= LAST_BIN:
        raise ValueError(f"bin {bin_} is not in 0-{LAST_BIN}")
    # For some durations T * 99 / 99 is the next float above T, which ``to_bin`` would refuse.
    return min(duration_s * bin_ / LAST_BIN, duration_s)


def _length(duration_s: float) -> float:
    if not math.isfinite(duration_s) or duration_s <= 0:
        raise ValueError(f"a video cannot last {duration_s} s")
    return float(duration_s)


def span(start_s: float, end_s: float, duration_s: float, *, clip_start_s: float = 0.0) -> TimeSpan:
    """A span with its bins; an instant where start and end are equal.

    ``start_s`` and ``end_s`` count from the start of what the model is shown, which lasts ``duration_s`` and
    begins ``clip_start_s`` into the video. Raises ValueError for a reversed span and for one outside of it.
    """
    if end_s < start_s:
        raise ValueError(f"span {start_s:.3f}-{end_s:.3f} s ends before it starts")
    return TimeSpan(
        start_s=clip_start_s + start_s,
        end_s=clip_start_s + end_s,
        start_bin=to_bin(start_s, duration_s),
        end_bin=to_bin(end_s, duration_s),
    )


def write(span_: TimeSpan) -> str:
    """A span as the model writes it: ``{<TEMP-012><TEMP-047>}``."""
    return "{" + token(span_.start_bin) + token(span_.end_bin) + "}"


def read(text: str) -> list[tuple[int, int]]:
    """Every span in a text as (start bin, end bin), in reading order.

    Two time tokens that stand together are a span, whether in braces, brackets or bare, with nothing, a
    comma, a dash, "to" or "and" between them. Reversed pairs are returned as written; the scorer decides
    about them.
    """
    return [(int(a), int(b)) for a, b in _SPAN.findall(text)]


def read_written(text: str) -> list[tuple[int, int]]:
    """Only the spans that stand exactly as ``write`` writes them, in reading order."""
    return [(int(a), int(b)) for a, b in _WRITTEN.findall(text)]


def read_instants(text: str) -> list[int]:
    """Bins of the time tokens that belong to none of ``read_written``'s spans, in reading order."""
    return [int(bin_) for bin_ in re.findall(_TOKEN, _WRITTEN.sub("", text))]


def with_seconds(text: str, duration_s: float, *, clip_start_s: float = 0.0) -> str:
    """A text for people, with the seconds of the video behind each time token or span of two.

    ``{<TEMP-010><TEMP-020>} (1.0 to 2.0 s)``, ``<TEMP-010> (1.0 s)``. The tokens count what the model is
    shown, which lasts ``duration_s`` and begins ``clip_start_s`` into the video.
    """

    def told(found: re.Match[str]) -> str:
        bins = map(int, re.findall(_TOKEN, found[0]))
        times = " to ".join(f"{clip_start_s + to_seconds(bin_, duration_s):.1f}" for bin_ in bins)
        return f"{found[0]} ({times} s)"

    return re.sub(rf"\{{?{_TOKEN}{_TOKEN}\}}?|{_TOKEN}", told, text)


def iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two spans in any one unit; 0 for a reversed or empty span."""
    if a[1] <= a[0] or b[1] <= b[0]:
        return 0.0
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inter / ((a[1] - a[0]) + (b[1] - b[0]) - inter)
