"""The one time codec: seconds <-> bins 0-99 <-> the text that the model reads and writes.

Contract: bin = round(99 * t / T) with halves rounded up, inverse t = T * bin / 99, so a round trip is off by
at most half a bin, T / 198 seconds. A span is written ``{<TEMP-012><TEMP-047>}``, as UFVideo does.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum

from pipeline.schema.sample import TimeSpan

NUM_BINS = 100
LAST_BIN = NUM_BINS - 1

_TOKEN = r"<TEMP-(\d{3})>"
_WRITTEN = re.compile(r"\{" + _TOKEN + _TOKEN + r"\}")
_SPAN = re.compile(r"[{\[(]?\s*" + _TOKEN + r"\s*(?:,|-|to|and)?\s*" + _TOKEN + r"\s*[}\])]?")


class Outside(StrEnum):
    """What to do with a time before 0 or past the end of its video."""

    REFUSE = "refuse"
    CLAMP = "clamp"


def token(bin_: int) -> str:
    """Token of one bin: 41 -> ``<TEMP-041>``."""
    if not 0 <= bin_ <= LAST_BIN:
        raise ValueError(f"bin {bin_} is not in 0-{LAST_BIN}")
    return f"<TEMP-{bin_:03d}>"


TIME_TOKENS = tuple(token(i) for i in range(NUM_BINS))


def to_bin(seconds: float, duration_s: float) -> int:
    """Bin of a time. Raises ValueError if the time is not within [0, duration]."""
    if not (math.isfinite(seconds) and math.isfinite(duration_s)) or duration_s <= 0:
        raise ValueError(f"time {seconds} s in a video of {duration_s} s")
    if not 0 <= seconds <= duration_s:
        raise ValueError(f"time {seconds:.3f} s lies outside its video of {duration_s:.3f} s")
    return math.floor(LAST_BIN * seconds / duration_s + 0.5)


def to_seconds(bin_: int, duration_s: float) -> float:
    """Time of a bin, in seconds."""
    if not 0 <= bin_ <= LAST_BIN:
        raise ValueError(f"bin {bin_} is not in 0-{LAST_BIN}")
    return duration_s * bin_ / LAST_BIN


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
    comma, a dash, "to" or "and" between them. Reversed pairs are returned as written: judging them is the
    scorer's business.
    """
    return [(int(a), int(b)) for a, b in _SPAN.findall(text)]


def read_written(text: str) -> list[tuple[int, int]]:
    """Only the spans that stand exactly as ``write`` writes them, in reading order."""
    return [(int(a), int(b)) for a, b in _WRITTEN.findall(text)]


def read_instants(text: str) -> list[int]:
    """Bins of the time tokens that belong to none of ``read_written``'s spans, in reading order."""
    return [int(bin_) for bin_ in re.findall(_TOKEN, _WRITTEN.sub("", text))]


def iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two spans in any one unit; 0 for a reversed or empty span."""
    if a[1] <= a[0] or b[1] <= b[0]:
        return 0.0
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return inter / ((a[1] - a[0]) + (b[1] - b[0]) - inter)
