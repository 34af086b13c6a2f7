"""The parts of the model that a stage trains, and the options that some of them support."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Part(StrEnum):
    """Parts of the model that can be trained or frozen."""

    VISION = "vision"
    CONNECTOR = "connector"
    REGIONS = "regions"
    LANGUAGE = "language"
    SEG_HEAD = "seg_head"
    SAM_ENCODER = "sam_encoder"
    SAM_DECODER = "sam_decoder"

    @classmethod
    def _missing_(cls, value: object) -> Part | None:
        return cls.SAM_DECODER if value == FORMER_NAME else None


FORMER_NAME: Final = "mask_decoder"
"""The former name of ``sam_decoder``, which plans may still use."""
PUBLISHED_TRAINED = (Part.CONNECTOR, Part.REGIONS, Part.LANGUAGE, Part.SEG_HEAD, Part.SAM_DECODER)
CHECKPOINTED = (Part.LANGUAGE, Part.VISION, Part.CONNECTOR, Part.SAM_ENCODER)
"""Parts that are deep enough for gradient checkpointing."""
COMPILED = (Part.VISION, Part.SAM_ENCODER)
"""Parts that support torch.compile."""
