"""The doctor section: which share of findings a plan tolerates. It belongs to no step."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator

from pipeline.plan.base import Config
from pipeline.plan.suggest import suggest


class Finding(StrEnum):
    """Everything that ``ufvideo doctor`` can find. docs/doctor.md explains each finding."""

    # Preparation rejects the record; the names are those of rejects.pq.
    BROKEN_JSON = "broken_json"
    MALFORMED = "malformed"
    PLACEHOLDERS = "placeholders"
    SPATIAL = "spatial_placeholder"
    TURNS = "turns"
    REGION_COUNT = "region_count"
    TARGET_COUNT = "target_count"
    SPAN_COUNT = "span_count"
    EMPTY_REGION = "empty_region"
    BAD_CHOICE = "bad_choice"
    DUPLICATE_KEY = "duplicate_key"  # also where preparation does not see it, across files and sources
    MEDIA_MISSING = "media_missing"
    MEDIA_UNREADABLE = "media_unreadable"
    TOO_FEW_FRAMES = "too_few_frames"
    FRAME_OUTSIDE = "frame_outside"
    MASK_SIZE = "mask_size"
    MASKS_SHIFTED = "masks_shifted"
    BAD_MASK = "bad_mask"
    MASK_MISSING = "mask_missing"
    EARLY_MASKS = "early_masks"  # a warning where ``early_masks`` of the source keeps them
    DURATION_MISMATCH = "duration_mismatch"  # likewise, with ``duration_mismatch``
    SPAN_OUTSIDE = "span_outside"
    SPAN_REVERSED = "span_reversed"
    SPAN_ZERO_LENGTH = "span_zero_length"
    BAD_SPAN = "bad_span"
    UNFORESEEN = "unforeseen"

    # Preparation keeps the record; a person should know.
    MEDIA_UNDECODABLE = "media_undecodable"
    HEADER_FRAMES = "header_frames"
    EMPTY_TARGET = "empty_target"
    MASKS_PARTLY_EMPTY = "masks_partly_empty"
    SPAN_CLAMPED = "span_clamped"
    SPAN_OUTSIDE_KEPT = "span_outside_kept"
    LATE_PICTURE = "late_picture"
    FRAME_NAMES = "frame_names"
    MEDIA_DIFFERS = "media_differs"
    DUPLICATE_MEDIA = "duplicate_media"
    DUPLICATE_SAMPLE = "duplicate_sample"
    DUPLICATE_ELSEWHERE = "duplicate_elsewhere"
    OVERLAP_CONTENT = "overlap_content"
    OVERLAP_NAME = "overlap_name"


# Findings with a default of their own. A score on videos that were trained on is worth nothing;
# the others are common and often intended, so they are shown and fail nothing unless a plan says so.
OWN_TOLERANCE: Mapping[Finding, float] = {
    Finding.OVERLAP_CONTENT: 0.0,
    Finding.OVERLAP_NAME: 1.0,  # "1.mp4" is a name that many sets have
    Finding.MASKS_PARTLY_EMPTY: 1.0,  # objects come and go
    Finding.SPAN_CLAMPED: 1.0,  # the plan asked for it
    Finding.SPAN_OUTSIDE_KEPT: 1.0,
    Finding.LATE_PICTURE: 1.0,  # times are mapped
    Finding.FRAME_NAMES: 1.0,  # their numbers say their order
    Finding.DUPLICATE_MEDIA: 1.0,
    Finding.DUPLICATE_ELSEWHERE: 1.0,  # sets that are built on one another
}

Share = Annotated[float, Field(ge=0, le=1)]


class DoctorConfig(Config):
    """How large a share of a source's records may have a finding."""

    tolerance: Share = Field(default=0.01, description="For every finding that has no tolerance of its own.")
    allow: dict[Finding, Share] = Field(
        default={}, description="Tolerance of single findings: {media_missing: 0.05}."
    )
    decode_frames: int = Field(
        default=3,
        ge=0,
        le=256,
        description="Frames of every video to decode, spread from the first to the last; 0: only the first.",
    )

    @field_validator("allow", mode="before")
    @classmethod
    def _findings_are_known(cls, given: Any) -> Any:
        known = [str(finding) for finding in Finding]
        for name in given if isinstance(given, Mapping) else ():
            if name not in known:
                raise ValueError(f"unknown finding {name}. {suggest(name, known, 'Known findings')}")
        return given

    def tolerance_of(self, finding: Finding) -> float:
        """The share of a source's records that may have this finding."""
        if finding in self.allow:
            return self.allow[finding]
        return OWN_TOLERANCE.get(finding, self.tolerance)
