"""Converts times as a source writes them to seconds and bins of one video, by the rules of the plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from datasets_prep.draft import OPEN, DraftSpan, Reason, RejectError, Unit
from datasets_prep.passes.irregular import other_duration
from pipeline.plan.data import SourceConfig
from pipeline.plan.rules import DurationMismatch, SecondsFrom
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import TimeSpan, VideoRef
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes, frame_times, picture_late_s
from pipeline.times.temporal import Outside

_CHUNK_S = 5.0  # DiDeMo's
_ROUNDING_S = 1e-6  # largest rounding error of fractions and frame numbers in seconds

_ON_A_CLOCK = (Unit.SECONDS, Unit.CHUNKS)  # units whose 0 is where a player begins
_LASTING = (Unit.FRAMES, Unit.BINS, Unit.CHUNKS)  # units whose numbers stand for an interval, not an instant


class Clock:
    """Times of one video, from 0 at its first frame.

    Bins and fractions are relative to the clip where there is one, because the model sees only that. Where
    sound begins before the picture, seconds count from where a player begins (``seconds_from``), and a time
    before the first frame becomes that of the first frame. ``claimed_s`` is the duration in the record.
    """

    def __init__(self, video: VideoRef, source: SourceConfig, claimed_s: float | None = None) -> None:
        self._video, self._outside = video, source.outside_spans
        self._start_s, self._length_s = 0.0, video.duration_s
        self._late_s = picture_late_s(video) if source.seconds_from is SecondsFrom.PLAYER else 0.0
        self._scale = 1.0
        scaled = source.duration_mismatch is DurationMismatch.SCALE
        if scaled and claimed_s is not None and other_duration(claimed_s, video) is not None:
            self._scale = (self._late_s + video.duration_s) / claimed_s
        self._mapped = False
        self.outside_s = 0.0

    def irregular(self) -> Iterator[Irregular]:
        """How the resolved times were changed."""
        if self._mapped:
            detail = f"the picture starts {self._late_s:.3f} s after the sound: times count from it now"
            yield Irregular(Irregularity.LATE_PICTURE, detail)
        if self.outside_s and self._outside is Outside.KEEP:
            detail = f"a true time is {self.outside_s:.3f} s outside and is kept, as the plan says"
            yield Irregular(Irregularity.SPAN_OUTSIDE, detail)
        elif self.outside_s:
            detail = f"a time was {self.outside_s:.3f} s outside and is clamped, as the plan says"
            yield Irregular(Irregularity.SPAN_CLAMPED, detail)

    @cached_property
    def _frames(self) -> FrameTimes:
        return frame_times(self._video)

    def set_clip(self, clip: DraftSpan) -> TimeSpan:
        assert clip.end is not None, "a clip has an end"
        span = self.resolve(clip)
        self._start_s, self._length_s = span.start_s, span.end_s - span.start_s
        return span

    def resolve(self, time: DraftSpan) -> TimeSpan:
        """A span; for an instant its start is its end."""
        for value in (time.start, 0.0 if time.end in (None, OPEN) else time.end):
            if not math.isfinite(value):
                raise RejectError(Reason.BAD_SPAN, f"time {value}")
        if time.end is None:
            at = self._inside(self._seconds(time.start, time.unit), time.unit)
            return temporal.span(at, at, self._length_s, clip_start_s=self._start_s)
        if time.end < time.start:
            raise RejectError(
                Reason.SPAN_REVERSED, f"{time.start:g} to {time.end:g} {time.unit} ends before it starts"
            )
        if time.end == time.start and time.unit not in _LASTING:
            raise RejectError(
                Reason.SPAN_ZERO_LENGTH, f"{time.start:g} to {time.end:g} {time.unit} has no length"
            )
        first, last = time.start, time.end
        if time.unit in (Unit.FRAMES, Unit.CHUNKS):
            last += 1  # a frame lasts until the next one
        elif time.unit is Unit.BINS and first == last:
            # A bin stands for every time that is nearest to it.
            first, last = max(first - 0.5, 0), min(last + 0.5, temporal.LAST_BIN)
        start, end = self._seconds(first, time.unit), self._seconds(last, time.unit)
        if start >= self._length_s or end <= 0:
            raise RejectError(Reason.SPAN_OUTSIDE, self._where(start, end))
        if time.end == OPEN or time.unit is Unit.CHUNKS:
            end = min(end, self._length_s)  # ends with the video, so this does not count as clamping
        written = start, end
        start, end = self._inside(start, time.unit, end), self._inside(end, time.unit, start)
        span = temporal.span(start, end, self._length_s, clip_start_s=self._start_s)
        if self._outside is Outside.KEEP:
            first_s, last_s = (time_s + self._start_s for time_s in written)
            span = replace(span, start_s=min(first_s, span.start_s), end_s=max(last_s, span.end_s))
        if time.unit is not Unit.BINS:
            return span
        # Keep the bins as written: a single bin was widened by half a bin, and would come back as two.
        start_bin, end_bin = (min(int(value), temporal.LAST_BIN) for value in (time.start, time.end))
        return replace(span, start_bin=start_bin, end_bin=end_bin)

    def frame(self, time_s: float) -> int:
        """The frame that shows at a time of the whole video, at its end the last one."""
        shown_s = self._from_picture(time_s)
        if -self._late_s <= shown_s <= 0:  # there was only sound, no picture yet
            return 0
        try:
            return self._frames.frame_at(shown_s)
        except ValueError as error:
            raise RejectError(
                Reason.FRAME_OUTSIDE,
                f"mask at {time_s:g} s of a video of {self._video.duration_s:.3f} s",
            ) from error

    def _seconds(self, value: float, unit: Unit) -> float:
        """Seconds from the start of the clip."""
        match unit:
            case Unit.SECONDS:
                return self._from_picture(value) - self._start_s
            case Unit.FRACTION:
                return value * self._length_s
            case Unit.FRAMES:
                return self._frames.edge_s(value) - self._start_s
            case Unit.BINS:
                return value * self._length_s / temporal.LAST_BIN
            case Unit.CHUNKS:
                return self._from_picture(value * _CHUNK_S) - self._start_s

    def _from_picture(self, time_s: float) -> float:
        """Seconds of the source's clock as seconds from the first picture."""
        self._mapped = self._late_s > 0
        return time_s * self._scale - self._late_s

    def _inside(self, time_s: float, unit: Unit, other_s: float | None = None) -> float:
        nearest = min(max(time_s, 0.0), self._length_s)
        if unit in _ON_A_CLOCK and not self._start_s and -self._late_s - _ROUNDING_S <= time_s <= 0:
            return nearest  # there was only sound, no picture yet
        if abs(nearest - time_s) > _ROUNDING_S:
            if self._outside is Outside.REFUSE:
                raise RejectError(Reason.SPAN_OUTSIDE, self._where(time_s, other_s))
            self.outside_s = max(self.outside_s, abs(nearest - time_s))
        return nearest

    def _where(self, *times_s: float | None) -> str:
        times = " and ".join(f"{t + self._start_s:.3f}" for t in sorted(t for t in times_s if t is not None))
        end_s = self._start_s + self._length_s
        late = f" whose picture starts at {self._late_s:.3f} s of a player" if self._mapped else ""
        within = f"{self._start_s:.3f}-{end_s:.3f} s"
        return f"{times} s in {within} of a video of {self._video.duration_s:.3f} s{late}"
