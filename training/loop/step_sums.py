"""Sums over one worker's forward passes of an optimizer step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

from pipeline.records.sample import Task

TASKS = tuple(Task)
FIXED = (
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
    "repeated_reads",
    "wait_s",
)


@dataclass(slots=True)
class StepSums:
    """Sums over one worker's forward passes of one step."""

    values: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FIXED, 0.0))
    tasks: dict[Task, int] = field(default_factory=lambda: dict.fromkeys(TASKS, 0))
    started: float = field(default_factory=time.perf_counter)

    def add(self, **values: float) -> None:
        """Add to the named sums."""
        for name, value in values.items():
            self.values[name] += value

    def vector(self) -> torch.Tensor:
        """Everything that is summed over workers, float64."""
        return torch.tensor(
            [*(self.values[n] for n in FIXED), *(self.tasks[t] for t in TASKS)], dtype=torch.float64
        )
