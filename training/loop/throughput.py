"""What one optimizer step did and how long it took: sums of all workers, folded into one row of metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from pipeline.records.sample import Task

_TASKS = tuple(Task)
_FIXED = (
    "ce_tokens",
    "ce",
    "masks",
    "bce",
    "dice",
    "total",
    "passes",
    "samples",
    "tokens",
    "truncated",
    "blank_regions",
    "quarantined",
    "wait_s",
)


@dataclass(slots=True)
class StepSums:
    """Sums over one worker's forward passes of one step."""

    values: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_FIXED, 0.0))
    tasks: dict[Task, int] = field(default_factory=lambda: dict.fromkeys(_TASKS, 0))
    started: float = field(default_factory=time.perf_counter)

    def add(self, **values: float) -> None:
        """Add to the named sums."""
        for name, value in values.items():
            self.values[name] += value

    def vector(self) -> torch.Tensor:
        """Everything that is summed over workers, float64."""
        return torch.tensor(
            [*(self.values[n] for n in _FIXED), *(self.tasks[t] for t in _TASKS)], dtype=torch.float64
        )


def metrics(
    vector: Sequence[float], *, seconds: float, world: int, lr: float, grad_norm: float
) -> dict[str, float]:
    """One row of metrics from the summed vectors of ``world`` workers.

    ``loss/text`` is the mean over answer tokens of the global batch, ``loss/bce`` and ``loss/dice`` over its
    masks (left out of a step without masks), ``loss/total`` is the mean of the passes' own weighted sums:
    what the optimizer saw.
    """
    sums = dict(zip(_FIXED, vector, strict=False))
    counts = dict(zip(_TASKS, vector[len(_FIXED) :], strict=True))
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
    }
    if sums["masks"]:
        row |= {"loss/bce": sums["bce"] / sums["masks"], "loss/dice": sums["dice"] / sums["masks"]}
    return row | {f"samples/{task}": count for task, count in counts.items()}
