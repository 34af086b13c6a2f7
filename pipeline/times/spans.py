"""A pair of quantities on the clock of one video -> a span in seconds, or the reason why not."""

from __future__ import annotations

import math
from typing import NamedTuple

from pipeline.records.sample import TimeSpan
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes
from pipeline.times.pairs import Pair
from pipeline.times.quantity import Problem, Quantity, Refusal
from pipeline.times.temporal import NOISE_S, Outside
from pipeline.times.text import Form

_MOST_ROUNDING_S = 0.5  # "2 minutes" does not stand for every time within half a minute


class ParsedSpan(NamedTuple):
    """One span or instant of a text. Seconds count from the start of what the model is shown."""

    start_s: float
    end_s: float  # the start again for an instant
    instant: bool
    form: Form  # as it was written
    text: str
    place: tuple[int, int]  # of ``text`` in the whole text
    bins: tuple[int, int] | None = None  # as written, for Form.TOKENS
    clamped: bool = False  # by Outside.CLAMP
    moved_s: float = 0.0  # how far an end was moved into the video: by its own rounding, if not clamped

    def span(self, duration_s: float, *, clip_start_s: float = 0.0) -> TimeSpan:
        """As a ``TimeSpan``, whose seconds count from the start of the video. Written bins are kept."""
        made = temporal.span(self.start_s, self.end_s, duration_s, clip_start_s=clip_start_s)
        if self.bins is None:
            return made
        return TimeSpan(start_s=made.start_s, end_s=made.end_s, start_bin=self.bins[0], end_bin=self.bins[1])


class _Inside(NamedTuple):
    time_s: float
    clamped: bool
    moved_s: float


class Ruler(NamedTuple):
    """One video, with the rules for times without a unit and times outside of it."""

    text: str
    duration_s: float
    frames: FrameTimes | None
    bare: Form | None
    outside: Outside

    def span(self, pair: Pair) -> ParsedSpan | Problem:
        """A pair as a span in seconds, or its first problem."""
        return self._parsed(pair.a, pair.b, pair.form or self.bare, pair.scale, pair.problem, instant=False)

    def instant(self, at: Quantity) -> ParsedSpan | Problem:
        """A single quantity as an instant. A frame stands for the time at which it begins to show."""
        return self._parsed(at, at, at.form or self.bare, at.scale, at.problem, instant=True)

    def _parsed(
        self,
        a: Quantity,
        b: Quantity,
        form: Form | None,
        scale: float,
        problem: Problem | None,
        *,
        instant: bool,
    ) -> ParsedSpan | Problem:
        place = (a.start, b.end)
        excerpt = self.text[a.start : b.end]
        if problem:
            return problem
        if not (math.isfinite(a.value) and math.isfinite(b.value)):
            return Problem(Refusal.NOT_FINITE, excerpt, *place)
        if form is None:
            between = 0 <= a.value <= 1 and 0 <= b.value <= 1
            units = "seconds or fractions" if between else "seconds, percents or frames"
            return Problem(Refusal.NO_UNIT, f"{excerpt}: {units}", *place)
        if form is Form.FRAMES:
            return self._of_frames(a, b, excerpt, place, instant=instant)
        start_s = self._seconds(a, form, a.scale if a.form else scale)
        end_s = self._seconds(b, form, b.scale if b.form else scale)
        if end_s < start_s and b.edge is None:
            return Problem(Refusal.REVERSED, excerpt, *place)
        start, end = self._inside(start_s, a, form, scale), self._inside(end_s, b, form, scale)
        if start is None or end is None or (not instant and self._beyond(start_s, end_s, start, end)):
            return Problem(Refusal.OUTSIDE, f"{excerpt}: the video lasts {self.duration_s:.3f} s", *place)
        return ParsedSpan(
            start_s=start.time_s,
            end_s=end.time_s,
            instant=instant,
            form=form,
            text=excerpt,
            place=place,
            bins=(_bin(a), _bin(b)) if form is Form.TOKENS else None,
            clamped=start.clamped or end.clamped,
            moved_s=max(start.moved_s, end.moved_s),
        )

    def _seconds(self, quantity: Quantity, form: Form, scale: float) -> float:
        if quantity.edge is not None:
            return quantity.edge * self.duration_s
        match form:
            case Form.TOKENS:
                return temporal.to_seconds(int(quantity.value), self.duration_s)
            case Form.FRACTIONS:
                return quantity.value * self.duration_s
            case Form.PERCENTS:
                return quantity.value * self.duration_s / 100
            case _:
                return quantity.value * scale

    def _inside(self, time_s: float, of: Quantity, form: Form, scale: float) -> _Inside | None:
        """A time in the video. One past the end by no more than its own rounding stands for the end."""
        if 0.0 <= time_s <= self.duration_s:
            return _Inside(time_s, False, 0.0)
        nearest = min(max(time_s, 0.0), self.duration_s)
        off_s = abs(time_s - nearest)
        if off_s <= NOISE_S:
            return _Inside(nearest, False, 0.0)
        rounded = form in (Form.SECONDS, Form.CLOCK)
        slack_s = min(of.half * (of.scale if of.form else scale), _MOST_ROUNDING_S) * rounded
        if time_s > nearest and off_s <= slack_s + NOISE_S:
            return _Inside(nearest, False, off_s)
        return _Inside(nearest, True, off_s) if self.outside is Outside.CLAMP else None

    def _beyond(self, start_s: float, end_s: float, start: _Inside, end: _Inside) -> bool:
        """Whether clamping left nothing of a span, as ``passes/finish.py`` refuses it for sources."""
        return (start.clamped or end.clamped) and (start_s >= self.duration_s or end_s <= 0)

    def _of_frames(
        self, a: Quantity, b: Quantity, excerpt: str, place: tuple[int, int], *, instant: bool
    ) -> ParsedSpan | Problem:
        if self.frames is None:
            return Problem(Refusal.NO_FRAMES, excerpt, *place)
        top = self.frames.num_frames - 1
        from_, to = (q.value if q.edge is None else q.edge * top for q in (a, b))
        if from_ != int(from_) or to != int(to):
            return Problem(Refusal.NOT_WHOLE, excerpt, *place)
        if to < from_ and b.edge is None:
            return Problem(Refusal.REVERSED, excerpt, *place)
        first, last = (int(min(max(number, 0), top)) for number in (from_, to))
        clamped = (first, last) != (from_, to)
        if clamped and (self.outside is Outside.REFUSE or from_ > top or to < 0):
            return Problem(Refusal.OUTSIDE, f"{excerpt}: the video has the frames 0-{top}", *place)
        start_s, end_s = self.frames.span_s(first, last)
        return ParsedSpan(
            start_s=start_s,
            end_s=start_s if instant else min(end_s, self.duration_s),
            instant=instant,
            form=Form.FRAMES,
            text=excerpt,
            place=place,
            clamped=clamped,
        )


def _bin(quantity: Quantity) -> int:
    return int(quantity.value if quantity.edge is None else quantity.edge * temporal.LAST_BIN)
