"""Memory of one GPU while a stage is trained, added up from what DeepSpeed, autograd and the model allocate.

With mixed precision and Adam a trained parameter costs 16 bytes: 2 for the weight, 2 for its gradient, 12 for
optimizer state (weight, mean and variance in fp32); ZeRO divides them by the workers (Rajbhandari et al.,
"ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", arXiv:1910.02054, section 3.1 and
figure 1). A frozen parameter costs its weight. Unlike in that paper, ZeRO-2 and 3 hold a whole gradient here,
because the gradients of a step are reduced once (``training.engine``).

Nothing of it is measured on GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.estimate.activations import OBJECTS, Pass, activations, number_bytes
from pipeline.estimate.parameters import PartSize, part_sizes
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from pipeline.plan.training import StageConfig

GIB: Final = 2**30
LARGEST_BUCKET: Final = 500_000_000
"""Elements that are reduced at once, at most: DeepSpeed sets aside a buffer of this size."""
KEPT_WHOLE: Final = 100_000
"""Elements. Weights of no more stay whole on every worker under ZeRO-3: norms, biases, and the three vectors
of SAM 2 that are read outside of the module that owns them, where nothing would fetch them."""
_GATHERED: Final = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters
_ALIGNED: Final = 2  # DeepSpeed pads a flat group to this many elements a worker
_OPTIMIZER: Final = 12  # bytes: weight, mean and variance in fp32
_RESERVE: Final = 2 * GIB
_FRAGMENTED: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one worker. The four moments do not coincide; the largest is the peak."""

    weights: int
    optimizer: int
    gradients: int
    reduction: int
    """buffers of communication, and this worker's part of the reduced gradients"""
    stored: int
    """activations at the end of a forward pass"""
    logits: int
    working: int
    """the largest of what exists for a moment: a layer that is computed again, gradients of the logits"""
    update: int
    """this worker's part of the gradients in fp32, and their copies, while the optimizer runs"""
    loading: int
    """the start weights as they are stored, before the optimizer exists"""
    by_part: dict[str, int] = field(default_factory=dict)
    """``stored``, by part of the model"""

    @property
    def moments(self) -> dict[str, int]:
        """The sum of each moment, by its name."""
        always = self.weights + self.optimizer
        passing = always + self.gradients + self.stored + self.logits + self.working
        return {
            "forward and backward": passing,
            "reduction of gradients": always + self.gradients + self.reduction,
            "update": always + self.update,
            "loading": self.loading,
        }

    @property
    def peak(self) -> int:
        """The largest moment, and what is assumed for CUDA, NCCL and fragmentation: 2 GiB and 5%."""
        return round(max(self.moments.values()) * (1 + _FRAGMENTED)) + _RESERVE


def memory(
    config: ModelConfig, stage: StageConfig, *, start_bytes: int | None = None, objects: int = OBJECTS
) -> Memory:
    """The memory of a worker of a stage, for its longest possible pass.

    With ``min_workers`` it is that of the fewest workers, where each holds most. ``start_bytes``: size of a
    number in the start checkpoint, None: that of the stage's arithmetic. ``objects``: targets of a sample.
    """
    layout = stage.layout
    b, workers = number_bytes(layout.precision), layout.fewest_workers
    sizes = part_sizes(config, stage.lora)
    passing = activations(config, stage, Pass.largest(config, stage, objects))
    held = held_elements(sizes, stage.train, workers, layout.zero_stage)
    bucket = min(LARGEST_BUCKET, held.trained)
    every = sum(size.parameters for size in sizes.values())
    gathered = min(_GATHERED, every) if layout.zero_stage == 3 else 0
    return Memory(
        weights=b * (held.weights + gathered) + (b * (bucket + held.part) if layout.zero_stage == 3 else 0),
        optimizer=_OPTIMIZER * held.part,
        gradients=b * held.trained,
        reduction=0 if layout.zero_stage == 3 else b * (bucket + held.part),
        stored=sum(passing.stored.values()),
        logits=passing.logits,
        working=max(passing.working.values()),
        update=2 * b * held.part + (4 * held.largest if b < 4 else 0),
        loading=(start_bytes or b) * every,
        by_part=passing.stored,
    )


@dataclass(frozen=True, kw_only=True)
class HeldElements:
    """How many elements a worker holds under ZeRO."""

    weights: int
    """of all weights"""
    trained: int
    """of whole gradients"""
    part: int
    """of its part of the trained ones, which it updates"""
    largest: int
    """of its part of the largest group, which is updated at once"""


def held_elements(
    sizes: dict[Part | None, PartSize], train: Sequence[Part], workers: int, zero_stage: int
) -> HeldElements:
    """ZeRO-1 and 2 cut each part, as one row of numbers, into equal pieces; ZeRO-3 cuts every tensor.

    One group per part: with weight decay there are two, which differ by their padding alone.
    """
    groups = [sizes[part].trained for part in train]
    trained = sum(map(sum, groups))
    every = [n for size in sizes.values() for n in size.every]
    if zero_stage == 3:
        parts = [sum(-(-n // workers) for n in group) for group in groups]
        kept = sum(n for n in every if n <= KEPT_WHOLE)
        weights = sum(-(-n // workers) for n in every) + kept
    else:
        unit = _ALIGNED * workers
        parts = [-(-sum(group) // unit) * _ALIGNED for group in groups]
        weights = sum(every) - trained + workers * sum(parts)
    return HeldElements(weights=weights, trained=trained, part=sum(parts), largest=max(parts))
