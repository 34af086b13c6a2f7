"""Bytes that a stage writes: saved states, its checkpoint, and temporary folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.estimate.activations import number_bytes
from pipeline.estimate.memory import held_elements
from pipeline.estimate.parameters import part_sizes
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from pipeline.plan.training import StageConfig

_OPTIMIZER: Final = 12


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Bytes."""

    state: int
    """one saved state, the parts of all workers"""
    states: int
    """all that exist while one more is saved than are kept"""
    checkpoint: int
    """the stage's result; with LoRA the adapter too"""
    scratch: int
    """the temporary folder of worker 0's machine: its part of a state, or the checkpoint"""
    start: int
    """the start checkpoint: its copy in ``storage.cache`` of each node, where it is on S3"""


def disk(config: ModelConfig, stage: StageConfig, *, start_bytes: int | None = None) -> Disk:
    """What a stage writes. ``start_bytes``: size of a number in the start checkpoint."""
    layout = stage.layout
    b, workers = number_bytes(layout.precision), layout.workers
    sizes = part_sizes(config, stage.lora)
    held = held_elements(sizes, stage.train, workers, layout.zero_stage)
    optimizer = _OPTIMIZER * held.part
    # Worker 0 saves the trained weights as well; under ZeRO-3 they are in the optimizer's parts alone.
    weights = 0 if layout.zero_stage == 3 else b * held.trained
    state = workers * optimizer + weights
    adapters = sum(sizes[Part.LANGUAGE].trained) if stage.lora is not None else 0
    plain = sum(size.parameters for size in part_sizes(config).values())
    checkpoint = b * (plain + adapters)
    return Disk(
        state=state,
        states=(layout.keep + 1) * state,
        checkpoint=checkpoint,
        scratch=max(optimizer + weights, checkpoint),
        start=(start_bytes or b) * plain,
    )
