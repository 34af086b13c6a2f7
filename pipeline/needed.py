"""Which frames of a sample's video the model is shown, and which anybody will ever look at."""

from __future__ import annotations

from pipeline import video as videos
from pipeline.schema.frame_times import frame_times
from pipeline.schema.sample import Sample, Task


def frames_shown(sample: Sample, count: int) -> list[int]:
    """The ``count`` frame indices of the video, or of the sample's clip, that the language model is shown.

    They rise, and repeat where there are fewer frames.
    """
    ref = sample.video
    first, last = 0, ref.num_frames - 1
    if sample.clip is not None:
        first, last = videos.frame_range(frame_times(ref), sample.clip.start_s, sample.clip.end_s)
    return videos.sample_indices(ref.num_frames, count, first, last)


def frames_needed(sample: Sample, count: int) -> tuple[int, ...]:
    """Distinct frame indices, rising, for a model that is shown ``count`` frames of a video or clip.

    They cover every visit in training and evaluation, whatever the seed, the epoch and the checkpoint:

    - the frames that the language model is shown;
    - every frame on which a region or a target has a mask, since which of them are trained on changes from
      epoch to epoch, and scoring segments all that are listed;
    - all frames where the truth is hidden: a segmentation sample without a target is segmented on each.
    """
    ref = sample.video
    if sample.task is Task.SEGMENT and not sample.targets:
        return tuple(range(ref.num_frames))
    with_masks = (frame for track in (*sample.regions, *sample.targets) for frame in track.frames)
    return tuple(sorted({*frames_shown(sample, count), *with_masks}))
