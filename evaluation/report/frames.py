"""Which frames of a sample the page shows: with the object and without it, in the true span and outside."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.page.frames import spread_over, strip_frames
from pipeline.records import masks as rle
from pipeline.records.sample import Sample
from pipeline.times.frame_times import frame_times

MASK_FRAMES = 4
STRIP_FRAMES = 6


def mask_frames(sample: Sample) -> list[int]:
    """A few annotated frames: most of those in which a target shows, and some in which none does."""
    seen = shows(sample)
    absent = sorted({frame for track in sample.targets for frame in track.frames} - seen)
    if not seen or not absent:
        return spread_over(sorted(seen) or absent, MASK_FRAMES)
    without = min(len(absent), max(1, MASK_FRAMES - len(seen)))
    return sorted([*spread_over(sorted(seen), MASK_FRAMES - without), *spread_over(absent, without)])


def shows(sample: Sample) -> set[int]:
    """Frames on which a target is not empty."""
    return {
        frame
        for track in sample.targets
        for frame, counts in zip(track.frames, track.counts, strict=True)
        if rle.area(counts, track.height, track.width)
    }


def strip(sample: Sample) -> list[int]:
    """Frames that stand for the whole video or clip; for pointed-at objects, frames that show where.

    Of a sample with a true span some lie in it and some do not, if its video has such frames.
    """
    if sample.regions:
        return sorted({track.frames[len(track.frames) // 2] for track in sample.regions})
    if sample.targets:
        return []
    evenly = strip_frames(sample, STRIP_FRAMES)
    if not sample.spans:
        return evenly
    every = strip_frames(sample, sample.video.num_frames)
    inside = [index for index in every if in_span(sample, index)]
    outside = [index for index in every if not in_span(sample, index)]
    return _with_one_of(inside, _with_one_of(outside, evenly))


def in_span(sample: Sample, index: int) -> bool:
    """Whether a frame begins in a true span."""
    at = begins_s(sample, index)
    return any(span.start_s <= at <= span.end_s for span in sample.spans)


def begins_s(sample: Sample, index: int) -> float:
    """When a frame begins, in seconds."""
    return frame_times(sample.video).span_s(index, index)[0]


def caption(sample: Sample, index: int, *more: str) -> str:
    """``2.4 s · object shows``."""
    facts = [f"{begins_s(sample, index):.1f} s"]
    if sample.spans:
        facts.append("in the true span" if in_span(sample, index) else "outside the true span")
    return " · ".join([*facts, *(part for part in more if part)])


def _with_one_of(wanted: Collection[int], frames: list[int]) -> list[int]:
    """The frames; if none of ``wanted`` is among them, with its middle one in place of the nearest."""
    if not wanted or not set(frames).isdisjoint(wanted):
        return frames
    middle = sorted(wanted)[len(wanted) // 2]
    nearest = min(frames, key=lambda index: abs(index - middle))
    return sorted({*(set(frames) - {nearest}), middle})
