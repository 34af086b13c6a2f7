"""Gradient checkpointing: activations are recomputed in the backward pass instead of being stored."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def recompute_layers(root: nn.Module, on: bool) -> None:
    """Turns it on or off for every layer below ``root`` that supports it. Gradients change only by rounding.

    Layer by layer, because SAM 2's classes refuse transformers' switch for whole models.
    """
    for layer in root.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = on
            # mypy assumes that every attribute of a module is a tensor or a module.
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # type: ignore[assignment]


def recomputes(root: nn.Module) -> bool:
    """Whether any layer below ``root`` recomputes its activations."""
    return any(isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing for m in root.modules())
