"""What each stage will need: memory of a GPU, disk, time, cost; and which layout would fit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from pipeline.artifacts.record import Artifact
from pipeline.estimate.activations import OBJECTS, Pass, number_bytes
from pipeline.estimate.alternatives import changes_that_fit
from pipeline.estimate.disk import disk
from pipeline.estimate.length import length, stage_steps
from pipeline.estimate.memory import GIB, Memory, memory
from pipeline.plan.data import Use
from pipeline.plan.model import ModelConfig
from pipeline.plan.names import INIT
from pipeline.plan.plan import Plan
from pipeline.plan.training import StageConfig

_GB = 10**9
_COLUMNS = ("weights", "optimizer", "gradients", "activations", "logits", "working", "peak")


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the user states about the machines."""

    gpu_gb: float | None = None
    """memory of a GPU as its vendor states it; a GB of it is 2**30 bytes"""
    samples_per_s: float | None = None
    """of all workers of a stage together"""
    gpu_hour: float | None = None
    """the price of a GPU hour, in any currency"""

    @property
    def anything(self) -> bool:
        """Whether the user asks for the estimate."""
        return any(value is not None for value in (self.gpu_gb, self.samples_per_s, self.gpu_hour))


def estimate_lines(
    plan: Plan, given: Given, dataset: Artifact | None, steps: Collection[str] | None = None
) -> Iterator[str]:
    """A table of memory, and lines on each stage; nothing for a plan whose stages run on CPUs, unless asked.

    ``dataset``: the prepared one, whose size is the length of an epoch. ``steps``: names of the steps
    that are looked at, None for all.
    """
    stages = [
        (i, s)
        for i, s in enumerate(plan.stages)
        if (steps is None or s.name in steps) and (s.layout.use_gpu or given.anything)
    ]
    if not stages or plan.model is None:
        return
    config = plan.model.resolved
    needs = {s.name: memory(config, s, start_bytes=_start_bytes(plan, s)) for _, s in stages}
    yield (
        "Estimated memory of one GPU in GiB, for the longest possible pass. The peak includes 5% and 2 GiB "
        "for CUDA, NCCL and fragmentation:"
    )
    yield f"{'stage':<14}" + "".join(f"{name:>12}" for name in _COLUMNS) + "  at"
    for _, stage in stages:
        yield _row(stage, needs[stage.name])
    for i, stage in stages:
        yield from _stage_lines(plan, config, i, stage, needs[stage.name], given)
        if given.samples_per_s is not None:
            yield _time_line(stage, given, given.samples_per_s, dataset)


def _row(stage: StageConfig, need: Memory) -> str:
    values = (need.weights, need.optimizer, need.gradients, need.stored, need.logits, need.working, need.peak)
    moment = max(need.moments, key=lambda name: need.moments[name])
    return f"{stage.name:<14}" + "".join(f"{value / GIB:>12.1f}" for value in values) + f"  {moment}"


def _stage_lines(
    plan: Plan, config: ModelConfig, index: int, stage: StageConfig, need: Memory, given: Given
) -> Iterator[str]:
    layout, sizes = stage.layout, Pass.largest(config, stage)
    parts = sorted(need.by_part.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts if size >= GIB / 20)
    yield (
        f"{stage.name}: workers {layout.fewest_workers}, a pass of {sizes.samples} x "
        f"{sizes.tokens // sizes.samples:,} tokens, {OBJECTS} targets each; "
        f"activations: {shown or 'less than 0.1'}."
    )
    if given.gpu_gb is not None:
        yield from _fit_lines(plan, config, index, stage, need, given.gpu_gb)
    written = disk(config, stage, start_bytes=_start_bytes(plan, stage))
    yield (
        f"{stage.name}: disk: a saved state {written.state / _GB:.1f} GB, with keep {layout.keep} up to "
        f"{written.states / _GB:.1f} GB; the checkpoint {written.checkpoint / _GB:.1f} GB; temporary files "
        f"of worker 0 {written.scratch / _GB:.1f} GB; the start checkpoint, copied to each node if it is on "
        f"S3, {written.start / _GB:.1f} GB."
    )


def _fit_lines(
    plan: Plan, config: ModelConfig, index: int, stage: StageConfig, need: Memory, gpu_gb: float
) -> Iterator[str]:
    if need.peak <= gpu_gb * GIB:
        yield f"{stage.name}: fits into {gpu_gb:g} GB."
        return
    yield f"{stage.name}: does NOT fit into {gpu_gb:g} GB. With one of these it would:"
    changes = changes_that_fit(config, stage, round(gpu_gb * GIB), start_bytes=_start_bytes(plan, stage))
    for change in changes:
        typed = " ".join(
            f"--set {quote(f'stages.{index}.{key}={_typed(value)}')}" for key, value in change.values.items()
        )
        yield f"    {typed}  ({change.peak / GIB:.1f} GiB)"
    if not changes:
        yield "    none was found: lower max_text_tokens, train fewer parts, or take larger GPUs."


def _typed(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(value)}]"
    return str(value) if isinstance(value, int) else "{}"


def _time_line(stage: StageConfig, given: Given, samples_per_s: float, dataset: Artifact | None) -> str:
    rate = f"{samples_per_s:g} samples/s"
    samples = _samples(dataset)
    if stage.steps is None and samples is None:
        hours = 100_000 / samples_per_s / 3600
        return (
            f"{stage.name}: time: 100,000 samples take {hours:.1f} h at {rate}; how many the stage has is "
            "known when the dataset is prepared."
        )
    took = length(stage, stage_steps(stage, samples or {}), samples_per_s)
    cost = "" if given.gpu_hour is None else f", which cost {took.gpu_hours * given.gpu_hour:,.0f}"
    hours_of = "GPU hours" if stage.layout.use_gpu else "worker hours"
    return (
        f"{stage.name}: time at {rate}: {took.steps:,} steps, {took.samples:,} samples, {took.hours:,.1f} h, "
        f"{took.gpu_hours:,.1f} {hours_of}{cost}."
    )


def _samples(dataset: Artifact | None) -> Mapping[str, int] | None:
    if dataset is None:
        return None
    sources = dataset.record.summary.get("sources", {})
    return {name: row["kept"] for name, row in sources.items() if row["use"] == Use.TRAIN}


def _start_bytes(plan: Plan, stage: StageConfig) -> int | None:
    """Size of a number in the start checkpoint; None if only the checkpoint itself knows."""
    if stage.start_from == INIT:
        return 2 if plan.model_section.weights.bf16 else 4
    before = next((s for s in plan.stages if s.name == stage.start_from), None)
    return None if before is None else number_bytes(before.layout.precision)
