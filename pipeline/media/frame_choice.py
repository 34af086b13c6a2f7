"""Which frames of a sample's video the model is shown, and which are used at all."""

from __future__ import annotations

import numpy as np

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
