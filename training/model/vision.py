"""SigLIP vision tower: frames to patch tokens."""

from __future__ import annotations

import torch
import transformers
from torch import Tensor, nn

from pipeline.plan.model import VisionConfig
from training.model.config import siglip_config


class VisionTower(nn.Module):
    """Hidden state ``select_layer`` of SigLIP (arXiv:2303.15343), without its last norm and pooling head.

    Layers past the selected one are kept, so that published weights fit, but never run or trained.
    """

    def __init__(self, config: VisionConfig, attention: str) -> None:
        super().__init__()
        self.config = config
        self.tower = transformers.SiglipVisionModel._from_config(
            siglip_config(config), attn_implementation=attention
        )

    def set_attention(self, attention: str) -> None:
        """Changes the attention implementation, by transformers' name for it."""
        self.tower.set_attn_implementation(attention)

    def trained_parameters(self) -> list[nn.Parameter]:
        """The parameters that the forward pass uses."""
        used = [self.tower.embeddings, *self.tower.encoder.layers[: self.config.layers_used]]
        return [p for module in used for p in module.parameters()]

    def forward(self, frames_F3HW: Tensor) -> Tensor:
        """Patch tokens [F, N, D] of normalised frames [F, 3, H, W], row by row from the top left."""
        frozen = not self.tower.embeddings.patch_embedding.weight.requires_grad
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            hidden = self.tower.embeddings(frames_F3HW)
            for layer in self.tower.encoder.layers[: self.config.layers_used]:
                hidden = layer(hidden, attention_mask=None)
        return hidden
