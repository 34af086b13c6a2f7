"""Which frames of a sample's video anybody will ever look at: what has to be baked with it."""

from __future__ import annotations

from pipeline import video as videos
from pipeline.schema.sample import Sample, Task


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
    first, last = 0, ref.num_frames - 1
    if sample.clip is not None:
        first, last = videos.frame_range(
            ref.num_frames, ref.duration_s, sample.clip.start_s, sample.clip.end_s
        )
    shown = videos.sample_indices(ref.num_frames, count, first, last)
    with_masks = (frame for track in (*sample.regions, *sample.targets) for frame in track.frames)
    return tuple(sorted({*shown, *with_masks}))
