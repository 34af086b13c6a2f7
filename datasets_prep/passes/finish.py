"""Draft + what probing said -> Sample: times in seconds and bins, masks as compressed RLE."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from datasets_prep.draft import OPEN, TIME_MARK, Draft, DraftSpan, DraftTrack, Reason, RejectError, Unit
from pipeline.plan.data import SourceConfig, Use
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, TimeSpan, Turn, VideoRef
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes, frame_times
from pipeline.times.temporal import Outside

_CHUNK_S = 5.0  # DiDeMo's
_ROUNDING_S = 1e-6  # fractions and frame numbers come back as seconds with this much noise at most

_LASTING = (
    Unit.FRAMES,
    Unit.BINS,
    Unit.CHUNKS,
)  # their numbers stand for a stretch of time, not for a moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A sample, and whether a time in it was clamped to its video (only where the plan allows that)."""

    sample: Sample
    clamped: bool
    outside_s: float = 0.0  # how far outside the furthest of the clamped times was, in seconds


def finish(draft: Draft, source: SourceConfig, video: VideoRef, seed: int) -> Finished:
    """Resolve a draft. Raises RejectError with the reason."""
    if not (draft.times or draft.regions or draft.targets or draft.clip or draft.frame_size):
        return Finished(sample=_of_words(draft, source, video), clamped=False)
    clock = _Clock(video, source.outside_spans)
    clip = clock.set_clip(draft.clip) if draft.clip else None
    written = [clock.resolve(time) for time in draft.times]
    spans: dict[Role, list[TimeSpan]] = {role: [] for role in Role}
    instants: list[TimeSpan] = []
    turns = []
    for turn in draft.turns:
        for index in map(int, re.findall(TIME_MARK, turn.text)):
            said = instants if draft.times[index].end is None else spans[turn.role]
            said.append(written[index])
        text = re.sub(TIME_MARK, lambda m: _text(draft.times[int(m[1])], written[int(m[1])]), turn.text)
        turns.append(Turn(role=turn.role, text=text))
    if draft.frame_size and draft.frame_size != (video.height, video.width):
        claimed = "x".join(map(str, draft.frame_size))
        raise RejectError(
            Reason.MASK_SIZE, f"row says {claimed}, video is {video.height}x{video.width} (height x width)"
        )
    regions = [_track(track, video) for track in draft.regions]
    if draft.one_region_frame:
        regions = _one_frame(regions, draft, seed)
    sample = Sample(
        key=draft.key,
        dataset=source.name,
        task=draft.task,
        video=video,
        turns=tuple(turns),
        regions=tuple(regions),
        targets=tuple(_track(track, video) for track in draft.targets),
        spans=tuple(spans[Role.ASSISTANT]),
        question_spans=tuple(spans[Role.USER]),
        instants=tuple(instants),
        clip=clip,
        expression=draft.expression,
        choices=draft.choices,
        answer_index=draft.answer_index,
        reference=draft.reference if source.use is Use.BENCHMARK else "",
        category=draft.category,
    )
    return Finished(sample=sample, clamped=clock.outside_s > 0, outside_s=clock.outside_s)


def _of_words(draft: Draft, source: SourceConfig, video: VideoRef) -> Sample:
    return Sample(
        key=draft.key,
        dataset=source.name,
        task=draft.task,
        video=video,
        turns=draft.turns,
        expression=draft.expression,
        choices=draft.choices,
        answer_index=draft.answer_index,
        reference=draft.reference if source.use is Use.BENCHMARK else "",
        category=draft.category,
    )


class _Clock:
    """Times of one video. Bins and fractions count the clip where there is one: the model sees no more."""

    def __init__(self, video: VideoRef, outside: Outside) -> None:
        self._video, self._outside = video, outside
        self._start_s, self._length_s = 0.0, video.duration_s
        self.outside_s = 0.0

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
            at = self._inside(self._seconds(time.start, time.unit))
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
            last += 1  # a frame shows until the next one
        elif time.unit is Unit.BINS and first == last:
            # A bin stands for every time that is nearest to it.
            first, last = max(first - 0.5, 0), min(last + 0.5, temporal.LAST_BIN)
        start, end = self._seconds(first, time.unit), self._seconds(last, time.unit)
        if start >= self._length_s or end <= 0:
            raise RejectError(Reason.SPAN_OUTSIDE, self._where(start, end))
        if time.end == OPEN or time.unit is Unit.CHUNKS:
            end = min(end, self._length_s)  # what ends with the video is not cut by it
        start, end = self._inside(start, end), self._inside(end, start)
        span = temporal.span(start, end, self._length_s, clip_start_s=self._start_s)
        if time.unit is not Unit.BINS:
            return span
        # What was written is kept: a bin that stood for half a bin around it would come back as two.
        start_bin, end_bin = (min(int(value), temporal.LAST_BIN) for value in (time.start, time.end))
        return replace(span, start_bin=start_bin, end_bin=end_bin)

    def _seconds(self, value: float, unit: Unit) -> float:
        """Seconds from the start of the clip."""
        match unit:
            case Unit.SECONDS:
                return value - self._start_s
            case Unit.FRACTION:
                return value * self._length_s
            case Unit.FRAMES:
                return self._frames.edge_s(value) - self._start_s
            case Unit.BINS:
                return value * self._length_s / temporal.LAST_BIN
            case Unit.CHUNKS:
                return value * _CHUNK_S - self._start_s

    def _inside(self, time_s: float, other_s: float | None = None) -> float:
        nearest = min(max(time_s, 0.0), self._length_s)
        if abs(nearest - time_s) > _ROUNDING_S:
            if self._outside is Outside.REFUSE:
                raise RejectError(Reason.SPAN_OUTSIDE, self._where(time_s, other_s))
            self.outside_s = max(self.outside_s, abs(nearest - time_s))
        return nearest

    def _where(self, *times_s: float | None) -> str:
        said = " and ".join(f"{t + self._start_s:.3f}" for t in sorted(t for t in times_s if t is not None))
        end_s = self._start_s + self._length_s
        return f"{said} s in {self._start_s:.3f}-{end_s:.3f} s of a video of {self._video.duration_s:.3f} s"


def _text(time: DraftSpan, resolved: TimeSpan) -> str:
    return temporal.token(resolved.start_bin) if time.end is None else temporal.write(resolved)


def _track(track: DraftTrack, video: VideoRef) -> MaskTrack:
    entries = sorted(track.masks, key=lambda entry: entry[0])
    frames = tuple(frame for frame, _ in entries)
    if len(set(frames)) != len(frames):
        raise RejectError(Reason.BAD_MASK, "a frame is annotated twice")
    counts = tuple(_mask(frame, forms, video) for frame, forms in entries)
    return MaskTrack(height=video.height, width=video.width, frames=frames, counts=counts)


def _mask(frame: int, forms: Sequence[Any], video: VideoRef) -> str:
    height, width = video.height, video.width
    for form in forms:
        size = form.get("size") if isinstance(form, dict) else None
        if size is not None and size != [height, width]:
            raise RejectError(Reason.MASK_SIZE, f"frame {frame}: mask {size}, video [{height}, {width}]")
    try:
        counts = [masks.from_source(form, height, width) for form in forms]
        return counts[0] if len(counts) == 1 else masks.union(counts, height, width)
    except (ArithmeticError, ValueError, TypeError, IndexError) as error:
        raise RejectError(Reason.BAD_MASK, f"frame {frame}: {error}") from error


def _one_frame(regions: list[MaskTrack], draft: Draft, seed: int) -> list[MaskTrack]:
    """One frame of each region: the asked one, else one that shows all regions, else one of its own.

    Only frames in which a region has a pixel can be chosen; a region without any is left for validation.
    """
    shown = [
        [f for f, c in zip(r.frames, r.counts, strict=True) if masks.area(c, r.height, r.width)]
        for r in regions
    ]
    common = [f for f in shown[0] if all(f in frames for frames in shown)] if shown else []
    out = []
    for number, (region, frames) in enumerate(zip(regions, shown, strict=True)):
        if draft.region_frame in frames:
            frame = draft.region_frame
        elif common:
            frame = common[_draw(seed, draft.key, "region frame") % len(common)]
        elif frames:
            frame = frames[_draw(seed, draft.key, "region frame", number) % len(frames)]
        else:
            frame = region.frames[0]
        at = region.frames.index(frame)
        out.append(
            MaskTrack(height=region.height, width=region.width, frames=(frame,), counts=(region.counts[at],))
        )
    return out


def _draw(*names: object) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(map(str, names)).encode()).digest()[:8], "big")
