"""Irregularities of a record compared with its video: another duration, all masks in the first frames."""

from __future__ import annotations

import math

from datasets_prep.draft import Draft, Reason, RejectError
from pipeline.plan.data import SourceConfig
from pipeline.plan.rules import DurationMismatch, EarlyMasks
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import VideoRef

_ROUNDED_S = 1.0  # durations are often whole seconds, and those of containers include the end of the sound
_ROUNDED_SHARE = 0.01


def irregularities(draft: Draft, source: SourceConfig, video: VideoRef) -> tuple[Irregular, ...]:
    """Irregularities of the record's duration and masks. Raises RejectError where the plan rejects them."""
    found = []
    actual_s = other_duration(draft.duration_s, video)
    if actual_s is not None:
        detail = f"the record says {draft.duration_s:.2f} s, the video lasts {actual_s:.2f} s"
        if source.duration_mismatch is DurationMismatch.REJECT:
            raise RejectError(Reason.DURATION_MISMATCH, detail)
        if source.duration_mismatch is DurationMismatch.SCALE:
            detail += "; times in seconds are scaled"
        found.append(Irregular(Irregularity.DURATION_MISMATCH, detail))
    end = draft.masks_end
    if end is not None and end > 1 and 2 * end <= video.num_frames:
        detail = f"all masks of the video are in the first {end} of its {video.num_frames} frames"
        if source.early_masks is EarlyMasks.REJECT:
            raise RejectError(Reason.EARLY_MASKS, detail)
        found.append(Irregular(Irregularity.EARLY_MASKS, detail))
    return tuple(found)


def other_duration(claimed_s: float | None, video: VideoRef) -> float | None:
    """The video's duration where the claimed one differs by more than rounding; else None.

    A player's clock may begin before the picture; both durations are right, and the nearer one counts.
    """
    if claimed_s is None or not math.isfinite(claimed_s) or claimed_s <= 0:
        return None
    actual_s = min(
        (video.duration_s, video.start_s + video.duration_s), key=lambda length_s: abs(length_s - claimed_s)
    )
    rounding_s = max(_ROUNDED_S, _ROUNDED_SHARE * actual_s)
    return actual_s if abs(actual_s - claimed_s) > rounding_s else None
