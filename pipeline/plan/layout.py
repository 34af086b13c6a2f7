"""The layout of a stage: workers, devices, arithmetic, memory."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, field_validator

from pipeline.plan.base import RuntimeConfig
from pipeline.plan.identity import Bears
from pipeline.plan.parts import CHECKPOINTED, COMPILED, Part
from pipeline.plan.section_errors import Problem


class Precision(StrEnum):
    """Arithmetic of forward and backward; optimizer state is always fp32.

    On GPUs that have it, fp32 multiplies matrices and convolves in TF32: its factors keep 10 bits of mantissa
    instead of 23, about three digits, and their sums are fp32. That is several times as fast.
    """

    FP32 = "fp32"
    BF16 = "bf16"


class LayoutConfig(RuntimeConfig):
    """What a stage runs on. ``global_batch`` is part of the stage's identity, how it is divided is not."""

    workers: int = Field(ge=1, description="Processes that share the batch; on GPUs one each.")
    min_workers: int | None = Field(
        default=None,
        ge=1,
        description="Fewer workers with which the stage starts, or goes on after a node is lost, rather than "
        "wait for all of them; it takes more when there is room. null: always all of them.",
    )
    micro_batch: int = Field(ge=1, description="Samples per worker and forward pass, at most.")
    use_gpu: bool = Field(default=True, description="One GPU for each worker; false: CPUs alone.")
    cpus_per_worker: float = Field(
        default=8, gt=0, description="CPUs that Ray sets aside for a worker; fractions share one."
    )
    loader_threads: int = Field(
        default=4, ge=1, description="Threads of a worker that read and decode the next batches."
    )
    precision: Annotated[Precision, Bears("stage")] = Field(
        default=Precision.BF16,
        description="Of forward and backward. fp32 multiplies in TF32 on GPUs that have it.",
    )
    zero_stage: int = Field(default=2, ge=1, le=3, description="3 splits the weights over the workers too.")
    gradient_checkpointing: tuple[Part, ...] = Field(
        default=(Part.LANGUAGE,),
        description="Parts whose activations are computed again in the backward pass, out of "
        f"{', '.join(CHECKPOINTED)}. true: language; false: none.",
    )
    compile: tuple[Part, ...] = Field(
        default=(), description=f"Parts run through torch.compile, out of {', '.join(COMPILED)}."
    )
    packing: bool = Field(
        default=True, description="Samples of a micro-batch are packed one after another instead of padded."
    )
    torch_threads: int | None = Field(
        default=None, ge=1, description="Threads of one worker on CPU; null: torch's choice."
    )
    read_retry_s: float = Field(
        default=120,
        ge=1,
        description="How long a read that fails (storage that does not answer, a file that is away) is tried "
        "again, in seconds. After that the workers stop; a failed read is never a reason for a substitute.",
    )
    read_limit_s: float = Field(
        default=300,
        gt=0,
        le=600,  # twice that, or the other workers give up first: their reductions wait for half an hour
        description="How long reading and decoding one sample may take, in seconds. A file that does not "
        "answer until then is read once more by another thread, and then the workers stop.",
    )
    frame_cache_mb: int = Field(
        default=2048, ge=0, description="Memory of one worker for decoded frames, in MiB."
    )
    save_every: int = Field(
        default=100, ge=1, description="Optimizer steps between saved states, from which a stage resumes."
    )
    keep: int = Field(default=4, ge=1, description="Saved states that are kept, the newest ones.")
    max_failures: int = Field(
        default=3, ge=0, description="How often a stage resumes from its last state after workers have died."
    )
    max_skipped_steps: int = Field(
        default=10,
        ge=0,
        description="How many optimizer steps may be skipped because their gradient is not finite.",
    )

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        if isinstance(value, bool):
            return (Part.LANGUAGE,) if value else ()
        return value

    @property
    def fewest_workers(self) -> int:
        """The number of workers that is enough to run."""
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def workers_text(self) -> str:
        """How many workers, for messages: ``32``, or ``8 to 32``."""
        return str(self.workers) if self.min_workers is None else f"{self.min_workers} to {self.workers}"

    def problems(self) -> Iterator[Problem]:
        """Parts that an option does not support, compiled parts with ZeRO 3, a minimum above the maximum."""
        if self.fewest_workers > self.workers:
            yield Problem(
                ("min_workers",),
                f"min_workers {self.min_workers} is more than workers {self.workers}; lower it, or leave it "
                "out",
            )
        for name, given, offered in (
            ("gradient_checkpointing", self.gradient_checkpointing, CHECKPOINTED),
            ("compile", self.compile, COMPILED),
        ):
            if bad := [part for part in given if part not in offered]:
                yield Problem((name,), f"{name} {bad[0]} is not offered; choose among {', '.join(offered)}")
        if self.compile and self.zero_stage == 3:
            yield Problem(
                ("compile",),
                "compile cannot be combined with zero_stage 3, which fetches the weights of each layer "
                "when it is "
                "called; leave compile out, or set zero_stage to 2",
            )


def layouts(global_batch: int, workers: int) -> list[tuple[int, int]]:
    """Every (micro_batch, accumulation) that gives ``global_batch`` on ``workers`` exactly."""
    if global_batch % workers:
        return []
    per_worker = global_batch // workers
    return [(m, per_worker // m) for m in range(1, per_worker + 1) if per_worker % m == 0]
