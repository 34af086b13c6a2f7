"""Which frames of a sample's video are worth a picture, and the masks on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from pipeline.media.frame_choice import frames_shown
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample


def annotated_frames(tracks: Sequence[MaskTrack], count: int) -> list[int]:
    """At most ``count`` annotated frames, spread evenly over those in which an object shows.

    If none shows in any frame, over all annotated ones.
    """
    seen = {
        frame
        for track in tracks
        for frame, counts in zip(track.frames, track.counts, strict=True)
        if masks.area(counts, track.height, track.width)
    }
    return spread_over(sorted(seen or {f for t in tracks for f in t.frames}), count)


def strip_frames(sample: Sample, count: int) -> list[int]:
    """At most ``count`` frames that represent what the model is shown: the clip, or the whole video."""
    return sorted(set(frames_shown(sample, count)))


def spread_over(frames: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of the frames, the first and the last among them."""
    if len(frames) <= count:
        return list(frames)
    if count == 1:
        return [frames[len(frames) // 2]]
    return [frames[round(i * (len(frames) - 1) / (count - 1))] for i in range(count)]


def nearest(frames: Iterable[int], there: Collection[int]) -> list[int]:
    """The frames that exist, and for each of the others the nearest existing one; ascending, each once."""
    have = set(there)
    if not have:
        return []
    return sorted({f if f in have else min(have, key=lambda h: (abs(h - f), h)) for f in frames})


def mask_at(track: MaskTrack, frame: int) -> np.ndarray | None:
    """The object's mask [H, W] on a frame, None if the frame is not annotated."""
    if frame not in track.frames:
        return None
    return masks.decode(track.counts[track.frames.index(frame)], track.height, track.width)
