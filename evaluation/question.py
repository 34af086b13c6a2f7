"""What a sample's answer depends on besides the model: the question, down to the pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import orjson

from pipeline.media.frame_choice import frames_to_segment
from pipeline.records.sample import Sample, Turn

FRAMES_SHOWN = 32  # of a video to the language model; only what a question costs is estimated with it


def question_digest(sample: Sample, turns: Sequence[Turn]) -> str:
    """SHA-256 of what a model sees and must do: words, video, clip, marked objects, frames to segment.

    Truth is not part of it, so nothing is asked again when the truth is corrected.
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


def cost(sample: Sample) -> int:
    """The estimated cost of an answer, in frames that a tower encodes."""
    return min(sample.video.num_frames, FRAMES_SHOWN) + len(frames_to_segment(sample)[0])
