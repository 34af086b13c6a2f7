"""Learning-rate schedule, and the parameter groups of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline.plan.parts import Part
from pipeline.plan.training import OptimizerConfig

if TYPE_CHECKING:
    import torch


def lr_share(step: int, total: int, *, warmup_share: float, final_share: float) -> float:
    """Learning rate of optimizer step ``step`` (from 0) as a share of the peak.

    Linear from 0 over the first ``ceil(warmup_share * total)`` steps, then a cosine that reaches
    ``final_share`` at the last step. Step 0 of a schedule with warm-up has rate 0, as in the released script.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} of {total}")
    warmup = math.ceil(warmup_share * total)
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, total - 1 - warmup)
    return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(
    parameters: Iterable[tuple[Part, torch.nn.Parameter]], config: OptimizerConfig
) -> list[dict[str, Any]]:
    """AdamW groups of the trained parameters: one per part and kind, each at its peak rate.

    Weight decay applies to matrices only, not to biases, norms and other vectors.
    """
    groups: dict[tuple[Part, bool], dict[str, Any]] = {}
    for part, parameter in parameters:
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim >= 2 and config.weight_decay > 0
        peak = config.part_lr.get(part, config.lr)
        group = groups.setdefault(
            (part, decays),
            {
                "params": [],
                "lr": peak,
                "weight_decay": config.weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def set_lr(groups: Iterable[dict[str, Any]], peaks: Iterable[float], share: float) -> None:
    """Set every group's learning rate to ``share`` of its own peak."""
    for group, peak in zip(groups, peaks, strict=True):
        group["lr"] = share * peak
