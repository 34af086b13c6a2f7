"""One row per part of the model: where it is, its trained parameters, and where its weights come from.

Which parts a plan may train, checkpoint and compile is defined with ``Part``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from pipeline.plan.parts import Part

SAM, SAM_PUBLISHED = "segmentation.sam.", "model.mask_encoder.sam2_model."
"""Prefixes of SAM 2's parameter names, here and in the published layout."""


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """One part of a ``UFVideo``.

    ``trained`` gives the parameters that training it changes; parts share none. ``deep`` gives its module, if
    it has enough layers for gradient checkpointing. ``here`` and ``published`` are the prefixes of its
    tensors' names; empty for a part whose weights come with another's. ``public`` maps the prefix of its own
    public checkpoint to that of the published layout. ``keys`` are the keys of the plan's ``model.weights``
    that contain it, the most specific first.
    """

    trained: Callable[[Any], list[nn.Parameter]]
    deep: Callable[[Any], nn.Module] | None = None
    here: str = ""
    published: tuple[str, ...] = ()
    public: tuple[str, str] = ("", "")
    keys: tuple[str, ...] = ()


ROWS: Final[dict[Part, PartRow]] = {
    Part.LANGUAGE: PartRow(
        trained=lambda model: model.language.trained_parameters(),
        deep=lambda model: model.language,
        here="language.",
        published=("model.", "lm_head."),
        keys=("language", "videorefer", "whole"),
    ),
    Part.CONNECTOR: PartRow(
        trained=lambda model: list(model.connector.parameters()),
        deep=lambda model: model.connector,
        here="connector.",
        published=("model.mm_projector.",),
        keys=("connector", "videorefer", "whole"),
    ),
    Part.REGIONS: PartRow(
        trained=lambda model: list(model.regions.parameters()),
        here="regions.",
        published=("model.region_encoder.",),
        keys=("regions", "videorefer", "whole"),
    ),
    Part.VISION: PartRow(
        trained=lambda model: model.vision.trained_parameters(),
        deep=lambda model: model.vision,
        here="vision.",
        published=("model.vision_tower.",),
        public=("vision_model.", "model.vision_tower.vision_tower.vision_model."),
        keys=("vision", "whole"),
    ),
    Part.SEG_HEAD: PartRow(
        trained=lambda model: list(model.segmentation.head.parameters()),
        here="segmentation.head.",
        published=("model.text_hidden_fcs.",),
        keys=("whole",),
    ),
    # Its weights are all of SAM 2's, including the mask decoder's.
    Part.SAM_ENCODER: PartRow(
        trained=lambda model: list(model.segmentation.sam.vision_encoder.parameters()),
        deep=lambda model: model.segmentation.sam.vision_encoder,
        here=SAM,
        published=("model.mask_encoder.",),
        public=("", SAM_PUBLISHED),
        keys=("sam2", "whole"),
    ),
    Part.SAM_DECODER: PartRow(trained=lambda model: model.segmentation.decoder_parameters()),
}

PARTS: Final = tuple(part for part, row in ROWS.items() if row.keys)
"""Parts that weights are loaded for; ``SAM_ENCODER`` stands for all of SAM 2, including its mask decoder."""
