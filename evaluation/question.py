"""What a sample's answer depends on besides the model: the question, down to the pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import orjson

from pipeline.records.sample import Sample, Task, Turn

FRAMES_SHOWN = 32  # of a video to the language model; only what a question costs is estimated with it


def question_digest(sample: Sample, turns: Sequence[Turn]) -> str:
    """SHA-256 of all that a model sees and must do: words, video, clip, marked objects, frames to segment.

    Truth is no part of it, so that corrected truth asks nothing again.
    """
    video, clip = sample.video, sample.clip
    frames, height, width = frames_to_segment(sample)
    asked = [
        [[turn.role, turn.text] for turn in turns],
        [video.sha256, video.num_frames, video.height, video.width],
        [clip.start_s, clip.end_s] if clip else None,
        [[t.height, t.width, t.frames, t.counts] for t in sample.regions],
        [frames, height, width],
    ]
    return hashlib.sha256(orjson.dumps(asked)).hexdigest()


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


def cost(sample: Sample) -> int:
    """How much an answer is likely to take, in frames that a tower looks at."""
    return min(sample.video.num_frames, FRAMES_SHOWN) + len(frames_to_segment(sample)[0])
