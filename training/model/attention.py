"""Which of transformers' attention implementations is used: decided when device and dtype are known."""

from __future__ import annotations

from typing import Final

import torch
from transformers.utils import is_flash_attn_2_available

from pipeline.errors import UserError
from pipeline.plan.model import Attention

EAGER: Final = Attention.EAGER.value
SDPA: Final = Attention.SDPA.value
FLASH: Final = Attention.FLASH.value

_CAPABILITY: Final = (8, 0)
"""Flash attention 2 needs Ampere (A100, RTX 30) or newer."""
_HALVES: Final = (torch.bfloat16, torch.float16)


def built_with(choice: Attention) -> str:
    """The implementation that a model is built with, wherever it may run later: eager, or torch's kernels."""
    return EAGER if choice is Attention.EAGER else SDPA


def implementation(
    choice: Attention,
    *,
    device: str,
    capability: tuple[int, int],
    dtype: torch.dtype,
    installed: bool,
    required: bool = True,
) -> str:
    """transformers' name of the implementation to use.

    ``device``: its type, ``cuda`` or ``cpu``; ``capability``: (0, 0) where there is none; ``dtype``: of the
    arithmetic; ``installed``: whether flash-attn is installed and new enough. Raises UserError if the choice
    is flash attention and it cannot run; without ``required`` it is then treated as ``auto``.
    """
    if choice in (Attention.EAGER, Attention.SDPA):
        return choice.value
    reason, fix = _hindrance(device, capability, dtype, installed)
    if not reason:
        return FLASH
    if choice is Attention.FLASH and required:
        raise UserError(
            "model.overrides.attention", f"flash_attention_2 cannot run here: {reason}.", f"{fix}."
        )
    return SDPA


def choose_attention(
    choice: Attention, device: torch.device, dtype: torch.dtype, *, required: bool = True
) -> str:
    """``implementation`` for a device of this machine. Raises UserError as that does."""
    return implementation(
        choice,
        device=device.type,
        capability=torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0),
        dtype=dtype,
        installed=is_flash_attn_2_available(),
        required=required,
    )


def _hindrance(
    device: str, capability: tuple[int, int], dtype: torch.dtype, installed: bool
) -> tuple[str, str]:
    """Why flash attention 2 cannot run, and how to fix it; two empty texts if it can."""
    other = "choose auto or sdpa"
    if device != "cuda":
        return f"the model runs on {device}, and it needs a CUDA device", f"Set use_gpu, or {other}"
    if capability < _CAPABILITY:
        has, needs = (".".join(map(str, pair)) for pair in (capability, _CAPABILITY))
        return f"the GPU's compute capability is {has}, and it needs {needs}", other.capitalize()
    if dtype not in _HALVES:
        name = str(dtype).removeprefix("torch.")
        return f"the arithmetic is {name}, and it needs bfloat16", f"Set precision: bf16, or {other}"
    if not installed:
        return "flash-attn 2.3.3 or newer is not installed", f"Run make install-gpu, or {other}"
    return "", ""
