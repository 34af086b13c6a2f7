"""Gradient checkpointing: activations are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def recompute_layers(root: nn.Module, on: bool) -> None:
    """Switches it for every layer below ``root`` that offers it. The gradients are the same but for rounding.

    By layers, not by transformers' switch for whole models, which SAM 2's classes refuse.
    """
    for layer in root.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = on
            # mypy takes any attribute of a module for a tensor or a module.
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # type: ignore[assignment]


def recomputes(root: nn.Module) -> bool:
    """Whether any layer below ``root`` does."""
    return any(isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing for m in root.modules())
