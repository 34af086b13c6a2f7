"""The names of an expression about a video: in the key of its sample, and back from it.

Archives of submissions name videos, expressions and frames as the source does. The key and the video of a
sample hold these names; here is the one place that writes them into a key and reads them from it.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.errors import UserError
from pipeline.records.sample import Sample


class ExpressionNames(NamedTuple):
    """What a source calls the video, the expression and each frame, in order, without its suffix."""

    video: str
    expression: str
    frames: tuple[str, ...]


def expression_key(video_key: str, expression: str) -> str:
    """The key of an expression's sample; ``video_key`` is ``<source>/<video>``."""
    return f"{video_key}/{expression}"


def expression_names(sample: Sample) -> ExpressionNames:
    """The names of a sample made with ``expression_key``. Raises UserError for any other.

    The video's name may hold a slash, the expression's may not.
    """
    rest = sample.key.removeprefix(f"{sample.dataset}/")
    video, _, expression = rest.rpartition("/")
    path = sample.video.path
    if not video or not expression or not (path == video or path.endswith(f"/{video}")):
        raise UserError(
            sample.key,
            f"does not name its video, which is {path}, and an expression.",
            "Point `annotations` of its source at one meta_expressions.json.",
        )
    if not sample.video.frames:
        raise UserError(sample.key, f"has a video file, {path}, whose frames have no names.", "Use stills.")
    frames = tuple(PurePosixPath(frame).stem for frame in sample.video.frames)
    return ExpressionNames(video, expression, frames)
