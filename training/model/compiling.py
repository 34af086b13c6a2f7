"""torch.compile of the two image encoders."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import torch

from pipeline.errors import UserError
from pipeline.plan.parts import Part
from training.model.ufvideo import UFVideo

_NEEDS: Final = {
    "cpu": "Install a C++ compiler (g++)",
    "cuda": "Install triton and a C compiler (gcc), on a GPU of compute capability 7.0 or newer",
}
"""What torch.compile needs, by device type."""


def compile_parts(model: UFVideo, parts: Collection[Part]) -> None:
    """Compiles in place, at the first call: names of parameters and of the state dict do not change.

    The vision tower is compiled layer by layer, because its layers are equal and one compilation serves all.
    SAM 2's blocks differ in windows and widths, so its backbone is compiled as a whole.
    """
    if Part.VISION in parts:
        for layer in model.vision.tower.encoder.layers[: model.config.vision.layers_used]:
            layer.compile()
    if Part.SAM_ENCODER in parts:
        model.segmentation.sam.vision_encoder.backbone.compile()


def refuse_without_compiler(device: torch.device) -> None:
    """Compiles a small function for ``device``. Raises UserError if that fails, before training starts."""
    try:
        torch.compile(lambda x: x * 2 + 1, fullgraph=True)(torch.zeros(8, device=device))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise UserError(
            "layout.compile",
            f"torch.compile does not work on this machine: {lines[0][:300]}.",
            f"{_NEEDS.get(device.type, _NEEDS['cpu'])}, or leave layout.compile out.",
        ) from error
