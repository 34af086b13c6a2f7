"""How long a stage is, and what it costs at a throughput that the user states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.plan.training import MixtureEntry, StageConfig


@dataclass(frozen=True, kw_only=True)
class Length:
    """Of a whole stage, without saving, starting and waiting for videos beyond the stated throughput."""

    steps: int
    samples: int
    hours: float
    gpu_hours: float


def stage_steps(stage: StageConfig, samples: Mapping[str, int]) -> int:
    """Optimizer steps. ``samples``: of each training source of the prepared dataset, by its name.

    Raises KeyError if the mixture names another source.
    """
    if stage.steps is not None:
        return stage.steps
    assert stage.epochs is not None
    visits = math.floor(stage.epochs * epoch_visits(stage.mixture, samples) + 0.5)
    return max(1, math.ceil(visits / stage.global_batch))


def epoch_visits(mixture: Mapping[str, MixtureEntry], samples: Mapping[str, int]) -> int:
    """Visits of all sources in one epoch, as ``training.data.mixture`` realises them."""
    entries = dict(mixture) or {name: MixtureEntry() for name in samples}
    used = {name: min(samples[name], entry.cap or samples[name]) for name, entry in entries.items()}
    weights = sum(entry.weight or 0 for entry in entries.values())
    total = 0
    for name, entry in entries.items():
        repeat = entry.repeat
        if entry.weight is not None and used[name]:
            repeat = sum(used.values()) * entry.weight / weights / used[name]
        whole, extra = divmod(repeat, 1)
        total += int(whole) * used[name] + math.floor(extra * used[name] + 0.5)
    return total


def length(stage: StageConfig, steps: int, samples_per_s: float) -> Length:
    """Time of a stage. ``samples_per_s``: of all workers together, as the metric of this name."""
    samples = steps * stage.global_batch
    hours = samples / samples_per_s / 3600
    return Length(steps=steps, samples=samples, hours=hours, gpu_hours=hours * stage.layout.workers)
