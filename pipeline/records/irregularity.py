"""Irregularities of records that still become samples, each under a rule of the plan."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Irregularity(StrEnum):
    """Counted for every source in the manifest, listed in irregularities.pq, shown by doctor and card.

    docs/data-format.md says how each one is handled.
    """

    SPAN_CLAMPED = "span_clamped"  # a time outside its video was cut, as ``outside_spans`` asks
    SPAN_OUTSIDE = "span_outside_kept"  # a true time outside its video is kept, as ``outside_spans`` asks
    LATE_PICTURE = "late_picture"  # sound begins before the picture: times count from another moment
    DURATION_MISMATCH = "duration_mismatch"  # the record says another duration than its video has
    EARLY_MASKS = "early_masks"  # all masks of the video lie in the first half of its frames, or in less
    FRAME_NAMES = "frame_names"  # stills whose numbers are not of one width, so that names sort otherwise
    MEDIA_DIFFERS = "media_differs"  # a later media folder has another file of the video's name


class Irregular(NamedTuple):
    """One irregularity of a record, with details."""

    irregularity: Irregularity
    detail: str
