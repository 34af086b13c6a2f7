"""Which frames of a sample's video the model is shown, which it learns masks on, which are used at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.draw import draw
from pipeline.records import masks
from pipeline.records.sample import Sample, Task
from pipeline.times.frame_times import frame_times
from pipeline.times.temporal import Outside


def sample_indices(
    num_frames: int, count: int, start: int | None = None, end: int | None = None
) -> list[int]:
    """``count`` frame indices spread over a video, or over its frames ``start`` to ``end`` (both included).

    UFVideo's rule: the range from first to last frame is cut into ``count`` equal parts, and the middle
    of each is rounded to the nearest index, halves to even after adding 1e-6. Indices rise but may repeat:
    a video of fewer than ``count`` frames shows some of them several times, and no black frame is added.
    """
    first, last = 0 if start is None else start, num_frames - 1 if end is None else end
    if count < 1 or not 0 <= first <= last < num_frames:
        raise ValueError(f"cannot take {count} frames from {first} to {last} of a video of {num_frames}")
    part = (last - first) / count
    middles = first + part * (np.arange(count) + 0.5)
    return [int(i) for i in np.round(middles + 1e-6)]


def frames_shown(sample: Sample, count: int) -> list[int]:
    """The ``count`` frame indices of the video, or of the sample's clip, that the language model is shown.

    They rise, and repeat where there are fewer frames.
    """
    ref = sample.video
    first, last = 0, ref.num_frames - 1
    if sample.clip is not None:
        # Parts of the clip outside the video show nothing.
        first, last = frame_times(ref).frames_in(sample.clip.start_s, sample.clip.end_s, Outside.CLAMP)
    return sample_indices(ref.num_frames, count, first, last)


@dataclass(frozen=True, slots=True)
class AnnotatedFrames:
    """Frames that every target annotates, split by whether any target is visible there."""

    present: tuple[int, ...]
    absent: tuple[int, ...]


def frames_supervised(
    sample: Sample, count: int, *, names: Sequence[object], without_target: int = 0
) -> tuple[int, ...]:
    """The ``count`` frames on which the masks of all targets are learned; see ``choose_frames``.

    Chosen by ``names``, never by a worker's random stream. Raises ValueError as ``common_frames`` does.
    """
    return choose_frames(common_frames(sample), count, names=names, without_target=without_target)


def common_frames(sample: Sample) -> AnnotatedFrames:
    """The frames that are annotated for all targets.

    Raises ValueError if there are none, or if the sizes of the targets differ.
    """
    targets = sample.targets
    if len({(t.height, t.width) for t in targets}) != 1:
        raise ValueError(f"{sample.key}: its targets have masks of different sizes")
    common = set(targets[0].frames).intersection(*(t.frames for t in targets[1:]))
    if not common:
        raise ValueError(f"{sample.key}: no frame is annotated for all of its {len(targets)} targets")
    visible = {
        f
        for t in targets
        for f, counts in zip(t.frames, t.counts, strict=True)
        if f in common and masks.area(counts, t.height, t.width)
    }
    return AnnotatedFrames(present=tuple(sorted(visible)), absent=tuple(sorted(common - visible)))


def choose_frames(
    annotated: AnnotatedFrames, count: int, *, names: Sequence[object], without_target: int = 0
) -> tuple[int, ...]:
    """``count`` frames, ascending: those with the smallest hash of (names, frame), visible ones first.

    ``without_target`` of them show no target, if so many are annotated; more do only if there are too few
    others. If fewer than ``count`` frames are annotated, they are repeated evenly: with ``count`` 4, two
    frames occur twice each.
    """
    present = sorted(annotated.present, key=lambda f: draw(*names, "sam", f))
    absent = sorted(annotated.absent, key=lambda f: draw(*names, "sam", f))
    chosen = [*present[: count - min(without_target, len(absent))], *absent][:count]
    return tuple(sorted(chosen[i % len(chosen)] for i in range(count)))


def frames_to_segment(sample: Sample) -> tuple[tuple[int, ...], int, int]:
    """Frame indices, height and width of the masks to be made.

    The frames are those that the sample's targets list: where its benchmark will look, not where the object
    is. A segmentation sample whose truth is hidden is segmented on every frame; other samples on none.
    """
    if sample.targets:
        first = sample.targets[0]
        return tuple(sorted({f for t in sample.targets for f in t.frames})), first.height, first.width
    frames = range(sample.video.num_frames) if sample.task is Task.SEGMENT else ()
    return tuple(frames), sample.video.height, sample.video.width


def frames_needed(sample: Sample, count: int) -> tuple[int, ...]:
    """Distinct frame indices, ascending, for a model that is shown ``count`` frames of a video or clip.

    They cover every use in training and evaluation, for every seed, epoch and checkpoint:

    - the frames that the language model is shown;
    - every frame on which a region or a target has a mask, since training draws other ones in every
      epoch, and scoring segments all of them;
    - all frames if the truth is hidden: a segmentation sample without a target is segmented on each.
    """
    ref = sample.video
    if sample.task is Task.SEGMENT and not sample.targets:
        return tuple(range(ref.num_frames))
    with_masks = (frame for track in (*sample.regions, *sample.targets) for frame in track.frames)
    return tuple(sorted({*frames_shown(sample, count), *with_masks}))
