"""What readers yield: samples whose times and masks are still as the source wrote them.

Seconds, fractions and frame numbers can only be checked once the video has been probed, so a reader yields a
``Draft`` and ``passes/finish.py`` makes the ``Sample``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pipeline.records.sample import Task, Turn


class Reason(StrEnum):
    """Why a record or a draft did not become a sample. Counted in the manifest, listed in rejects.pq."""

    BROKEN_JSON = "broken_json"  # a line of a JSON-lines file that does not parse
    MALFORMED = "malformed"  # a field that the format needs is missing or of another type
    PLACEHOLDERS = "placeholders"  # time placeholders in the text and listed values differ in number
    SPATIAL = "spatial_placeholder"  # boxes in text, which this model neither reads nor writes
    TURNS = "turns"  # not user, assistant, user, assistant ...
    REGION_COUNT = "region_count"  # <region> in user text and annotated objects differ in number
    TARGET_COUNT = "target_count"  # [SEG] in assistant text and target objects differ in number
    SPAN_COUNT = "span_count"  # times written in the text are not those of the sample
    EMPTY_REGION = "empty_region"  # a region without a pixel in any annotated frame
    BAD_CHOICE = "bad_choice"  # the answer is none of the options
    DUPLICATE_KEY = "duplicate_key"
    MEDIA_MISSING = "media_missing"
    MEDIA_UNREADABLE = "media_unreadable"
    TOO_FEW_FRAMES = "too_few_frames"
    FRAME_OUTSIDE = "frame_outside"  # a mask on a frame that the video does not have
    MASK_SIZE = "mask_size"  # a mask whose size differs from its frame's
    MASKS_SHIFTED = "masks_shifted"  # the list of masks and the list of frames that they are for differ
    BAD_MASK = "bad_mask"
    MASK_MISSING = "mask_missing"  # an annotation that mask_dict.json does not contain
    EARLY_MASKS = "early_masks"  # all masks in the first part of the video, if the plan rejects that
    DURATION_MISMATCH = "duration_mismatch"  # a duration that is not the video's, if the plan rejects that
    SPAN_OUTSIDE = "span_outside"
    SPAN_REVERSED = "span_reversed"  # it ends before it starts
    SPAN_ZERO_LENGTH = "span_zero_length"  # it ends where it starts, in a unit in which that has no length
    BAD_SPAN = "bad_span"  # not a number
    UNFORESEEN = "unforeseen"  # it raised an error that the code does not expect; the detail has it


class RejectError(ValueError):
    """Raised by readers and checks: this record cannot become a sample, and here is why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


# Errors that an odd record can raise in code that does not expect it. One record never ends a preparation.
RECORD_ERRORS = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


def unforeseen(error: Exception, where: str) -> RejectError:
    """The reject for an unexpected error; ``where`` names the record or the video."""
    return RejectError(Reason.UNFORESEEN, f"{where}: {type(error).__name__}: {error}")


class Unit(StrEnum):
    """Units of time in which sources write."""

    SECONDS = "seconds"
    FRACTION = "fraction"  # 0-1 of the clip, or of the whole video where there is none
    FRAMES = "frames"  # first and last frame, both included
    BINS = "bins"  # 0-99, already quantised
    CHUNKS = "chunks"  # first and last of the five-second pieces, both included; the last one may be shorter


OPEN = math.inf  # the end of a span that lasts until the end of the video or clip, unknown to the reader


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftSpan:
    """A span as the source wrote it; with ``end`` None an instant."""

    start: float
    end: float | None
    unit: Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftTrack:
    """Masks of one object as the source wrote them: (frame index, masks to be united) in any order.

    ``timed`` are masks at times: (seconds, masks) of the frame that shows then.
    """

    masks: tuple[tuple[int, tuple[Any, ...]], ...]
    timed: tuple[tuple[float, tuple[Any, ...]], ...] = ()


class Media(NamedTuple):
    """Where a video may be below a media root.

    ``candidates`` are relative paths tried in order below each root in order. ``frames`` names the still
    images when the source lists them, with or without their suffix.
    """

    candidates: tuple[str, ...]
    frames: tuple[str, ...] = ()
    folder_fps: float = 0.0  # rate if it is a folder of stills; 0: the default rate


DraftTurn = Turn  # its times are still ``time_mark(i)``, the i-th of ``Draft.times``


@dataclass(kw_only=True, slots=True)  # not frozen: that would double the time to construct one
class Draft:
    """A sample before probing; treat it as immutable. Fields have the meanings of ``Sample``'s."""

    key: str
    task: Task
    media: Media
    turns: tuple[Turn, ...]
    times: tuple[DraftSpan, ...] = ()
    regions: tuple[DraftTrack, ...] = ()
    targets: tuple[DraftTrack, ...] = ()
    void: DraftTrack | None = None
    one_region_frame: bool = False  # keep one annotated frame of each region, chosen by the sample's name,
    region_frame: int | None = None  # or this one, where the region has a pixel in it
    frame_size: tuple[int, int] | None = None  # height and width that the source claims
    duration_s: float | None = None  # of the whole video, as the source claims
    masks_end: int | None = None  # one past the last frame with a mask, where the source lists every frame
    clip: DraftSpan | None = None
    expression: str = ""
    choices: tuple[str, ...] = ()
    answer_index: int = -1
    reference: str = ""  # kept for benchmarks only
    category: str = ""
    type: str = ""  # the source's own record type, for ``keep_types``


_OPEN, _CLOSE = "\ue000", "\ue001"  # private-use characters, which do not occur in texts of sources


def time_mark(index: int) -> str:
    """Placeholder in draft text for the written form of ``Draft.times[index]``."""
    return f"{_OPEN}{index}{_CLOSE}"


TIME_MARK = rf"{_OPEN}(\d+){_CLOSE}"
