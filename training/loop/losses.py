"""The three losses of UFVideo and their weighted sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.plan.model import LossWeights
from training.model.ufvideo import ModelOutput

_NO_MASKS = 1e-8
_DICE_SCALE, _DICE_SMOOTH = 1000.0, 1e-6


def compute_losses(
    output: ModelOutput, truths: Sequence[Tensor | None], weights: LossWeights
) -> dict[str, Tensor]:
    """Scalars ``ce``, ``bce``, ``dice`` and ``total`` of one micro-batch, in float32.

    ``truths``: ``Batch.gt_masks``; may be empty if no sample has masks. The losses of a micro-batch without
    answers or without masks are exactly zero. Raises ValueError if masks were predicted for a sample without
    ground truth.
    """
    ce = cross_entropy(output.answer_logits, output.answer_targets)
    bce, dice = mask_losses(output.mask_logits, truths or [None] * len(output.mask_logits))
    total = weights.ce * ce + weights.bce * bce + weights.dice * dice
    return {"ce": ce, "bce": bce, "dice": dice, "total": total}


def cross_entropy(logits_AV: Tensor, targets_A: Tensor) -> Tensor:
    """Mean over the tokens that have a loss; zero if there are none."""
    if not len(targets_A):
        return logits_AV.float().sum() * 0.0
    return F.cross_entropy(logits_AV.float(), targets_A)


def mask_losses(
    predictions: Sequence[Tensor | None], truths: Sequence[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """BCE and DICE, each the mean over all masks (object, frame) of the micro-batch.

    Both lists hold [O, F, h, w] per sample, logits and 0/1. BCE is a mean over pixels; DICE is
    1 - (2 sum(p g) / 1000 + 1e-6) / (sum(p + g) / 1000 + 1e-6), where the 1000 only weakens the smoothing.
    """
    bces, dices = [torch.zeros(0)], [torch.zeros(0)]
    for sample, (logits, truth) in enumerate(zip(predictions, truths, strict=True)):
        if logits is None or not logits.numel():
            continue
        if truth is None:
            raise ValueError(
                f"sample {sample} of the batch: {len(logits)} objects predicted, but gt_masks is None"
            )
        assert logits.shape == truth.shape, (logits.shape, truth.shape)
        logit, target = logits.float().flatten(0, 1).flatten(1), truth.float().flatten(0, 1).flatten(1)
        bces.append(F.binary_cross_entropy_with_logits(logit, target, reduction="none").mean(1))
        probability = logit.sigmoid()
        overlap = 2 * (probability * target).sum(1) / _DICE_SCALE
        size = (probability.sum(1) + target.sum(1)) / _DICE_SCALE
        dices.append(1 - (overlap + _DICE_SMOOTH) / (size + _DICE_SMOOTH))
    count = sum(len(b) for b in bces) + _NO_MASKS
    device = bces[-1].device
    return tuple(torch.cat([x.to(device) for x in xs]).sum() / count for xs in (bces, dices))  # type: ignore[return-value]
