"""Throughput and losses of one optimizer step: the sums of all workers as one row of metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import distributed

from pipeline.errors import UserError
from training.loop.callback import Callback, StageRun, StepOutcome
from training.loop.step_sums import FIXED, TASKS


class Throughput(Callback):
    """Computes the row of a step from the sums of all workers. A loss that is not finite ends the stage."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Called by every worker; all have the same row afterwards."""
        vector = outcome.sums.vector()
        if run.world > 1:
            vector = vector.to(self._device)
            distributed.all_reduce(vector)
        outcome.row |= metrics(
            vector.tolist(),
            seconds=time.perf_counter() - outcome.sums.started,
            world=run.world,
            lr=outcome.lr,
            grad_norm=outcome.grad_norm,
        )
        if not math.isfinite(outcome.row["loss/total"]):
            raise UserError(
                f"stage {run.stage.name}, step {outcome.step}",
                "the loss is not finite any more.",
                "Lower optimizer.lr, or its clip.",
            )


def metrics(
    vector: Sequence[float], *, seconds: float, world: int, lr: float, grad_norm: float
) -> dict[str, float]:
    """One row of metrics from the summed vectors of ``world`` workers.

    ``loss/text`` is the mean over answer tokens of the global batch, ``loss/bce`` and ``loss/dice`` over its
    masks (missing in a step without masks). ``loss/total`` is the mean of the passes' own weighted sums,
    which is what the optimizer minimises.
    """
    sums = dict(zip(FIXED, vector, strict=False))
    counts = dict(zip(TASKS, vector[len(FIXED) :], strict=True))
    row = {
        "loss/total": sums["total"] / sums["passes"],
        "loss/text": sums["ce"] / max(sums["ce_tokens"], 1),
        "lr": lr,
        "grad_norm": grad_norm,
        "samples_per_s": sums["samples"] / seconds,
        "tokens_per_s": sums["tokens"] / seconds,
        "step_s": seconds,
        "data_wait_share": sums["wait_s"] / world / seconds,
        "masks": sums["masks"],
        "truncated": sums["truncated"],
        "blank_regions": sums["blank_regions"],
        "quarantined": sums["quarantined"],
        "repeated_reads": sums["repeated_reads"],
    }
    if sums["masks"]:
        row |= {"loss/bce": sums["bce"] / sums["masks"], "loss/dice": sums["dice"] / sums["masks"]}
    return row | {f"samples/{task}": count for task, count in counts.items()}
