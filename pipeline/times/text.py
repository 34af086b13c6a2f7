"""Times written in text: six forms, the precision of each, and the one writer.

``parser.parse`` reads every text that is written here, off by at most ``written_error_s``. Numbers are
rounded to the nearest in every form, halves up.

| Form | a span | an instant |
|---|---|---|
| TOKENS | ``{<TEMP-012><TEMP-047>}`` | ``<TEMP-012>`` |
| SECONDS | ``12.5 - 20.0 seconds`` | ``12.5 seconds`` |
| CLOCK | ``0:12.5 - 1:20.0`` | ``0:12.5`` |
| FRACTIONS | ``0.121 to 0.475`` | ``0.121`` |
| FRAMES | ``frames 12 to 47`` | ``frame 12`` |
| PERCENTS | ``12.1% - 47.5%`` | ``12.1%`` |

Fractions carry no unit, so they are read back only by a caller who says ``bare=Form.FRACTIONS``.
"""

from __future__ import annotations

import math
from enum import StrEnum

from pipeline.records.sample import TimeSpan
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes


class Form(StrEnum):
    """How a time is written."""

    TOKENS = "tokens"  # time tokens, bins 0-99
    SECONDS = "seconds"
    CLOCK = "clock"  # minutes:seconds, hours:minutes:seconds, or words such as "1 min 20 s"
    FRACTIONS = "fractions"  # 0-1 of what is shown
    FRAMES = "frames"  # frame numbers from 0; both ends of a span are included
    PERCENTS = "percents"  # 0-100 of what is shown


DECIMALS = {Form.SECONDS: 1, Form.CLOCK: 1, Form.FRACTIONS: 3, Form.PERCENTS: 1}
_MOST_DECIMALS = 9


def written_error_s(
    form: Form, duration_s: float, *, frames: FrameTimes | None = None, decimals: int | None = None
) -> float:
    """Worst-case error in seconds, at each end, of a time that was written in a form and read again.

    Tokens: half a bin, T / 198. Seconds and clock times: half of the last decimal, whatever T is.
    Fractions and percents: half of the last decimal of T (of T / 100). Frames: less than the frame that
    shows longest.
    """
    if form is Form.TOKENS:
        return temporal.max_error_s(duration_s)
    if form is Form.FRAMES:
        return _needed(frames).longest_s
    half = 0.5 * 10.0 ** -_places(form, decimals)
    if form is Form.FRACTIONS:
        return duration_s * half
    return duration_s * half / 100 if form is Form.PERCENTS else half


def write_as(
    span: TimeSpan,
    form: Form,
    *,
    duration_s: float,
    clip_start_s: float = 0.0,
    frames: FrameTimes | None = None,
    decimals: int | None = None,
) -> str:
    """A span in a form, counted from the start of what the model is shown.

    That lasts ``duration_s`` and begins ``clip_start_s`` into the video, as in ``temporal.span``; ``frames``
    are its frames and are needed for Form.FRAMES. ``decimals`` overrides ``DECIMALS``. Tokens are those
    of the span's bins. Raises ValueError for a span that is reversed or lies outside, and for missing
    ``frames``.
    """
    start_s, end_s = _shown(span, duration_s, clip_start_s)
    if form is Form.TOKENS:
        return temporal.write(span)
    if form is Form.FRAMES:
        first, last = _needed(frames).frames_in(start_s, end_s)
        return f"frames {first} to {last}"
    start, end = (_one(t, form, duration_s, _places(form, decimals)) for t in (start_s, end_s))
    if form is Form.SECONDS:
        return f"{start} - {end} seconds"
    return f"{start} to {end}" if form is Form.FRACTIONS else f"{start} - {end}"


def write_instant_as(
    instant: TimeSpan,
    form: Form,
    *,
    duration_s: float,
    clip_start_s: float = 0.0,
    frames: FrameTimes | None = None,
    decimals: int | None = None,
) -> str:
    """An instant (a span whose end is its start) in a form. Arguments and errors: see ``write_as``."""
    at_s, end_s = _shown(instant, duration_s, clip_start_s)
    if end_s != at_s:
        raise ValueError(f"an instant ends where it starts, not {at_s:.3f}-{end_s:.3f} s")
    if form is Form.TOKENS:
        return temporal.token(instant.start_bin)
    if form is Form.FRAMES:
        return f"frame {_needed(frames).frame_at(at_s)}"
    text = _one(at_s, form, duration_s, _places(form, decimals))
    return f"{text} seconds" if form is Form.SECONDS else text


def _shown(span: TimeSpan, duration_s: float, clip_start_s: float) -> tuple[float, float]:
    start_s, _ = temporal.inside(span.start_s - clip_start_s, duration_s)
    end_s, _ = temporal.inside(span.end_s - clip_start_s, duration_s)
    if span.end_s < span.start_s:
        raise ValueError(f"span {start_s:.3f}-{end_s:.3f} s ends before it starts")
    return start_s, end_s


def _one(time_s: float, form: Form, duration_s: float, places: int) -> str:
    match form:
        case Form.CLOCK:
            return _clock(time_s, places)
        case Form.FRACTIONS:
            return _fixed(time_s / duration_s, places)
        case Form.PERCENTS:
            return _fixed(100 * time_s / duration_s, places) + "%"
        case _:
            return _fixed(time_s, places)


def _fixed(value: float, places: int) -> str:
    whole, rest = divmod(_steps(value, places), 10**places)
    return f"{whole}.{rest:0{places}d}" if places else str(whole)


def _clock(time_s: float, places: int) -> str:
    # Rounded before it is taken apart: 59.96 s is 1:00.0 and never 0:60.0.
    whole, rest = divmod(_steps(time_s, places), 10**places)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest:0{places}d}" if places else ""
    return f"{hours}:{minutes:02d}:{seconds:02d}{fraction}" if hours else f"{minutes}:{seconds:02d}{fraction}"


def _steps(value: float, places: int) -> int:
    return math.floor(value * float(10**places) + 0.5)


def _places(form: Form, decimals: int | None) -> int:
    places = DECIMALS[form] if decimals is None else decimals
    if not 0 <= places <= _MOST_DECIMALS:
        raise ValueError(f"{places} decimals: 0 to {_MOST_DECIMALS} can be written")
    return places


def _needed(frames: FrameTimes | None) -> FrameTimes:
    if frames is None:
        raise ValueError("frame numbers need the frames of the video: pass FrameTimes")
    return frames
