"""The stages section: how a checkpoint is trained from shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidatorFunctionWrapHandler, field_validator

from pipeline.plan.base import Config
from pipeline.plan.identity import Bears, Runtime
from pipeline.plan.layout import LayoutConfig
from pipeline.plan.parts import FORMER_NAME, PUBLISHED_TRAINED, Part
from pipeline.plan.section_errors import Problem

Share = Annotated[float, Field(ge=0, le=1)]


class LoraTarget(StrEnum):
    """Linear layers of one block of the language model."""

    QUERY = "q_proj"
    KEY = "k_proj"
    VALUE = "v_proj"
    OUT = "o_proj"
    GATE = "gate_proj"
    UP = "up_proj"
    DOWN = "down_proj"


class MixtureEntry(Config):
    """How one prepared source enters a stage."""

    repeat: float = Field(default=1.0, gt=0, description="Epochs of this source per epoch of the stage.")
    weight: float | None = Field(
        default=None,
        gt=0,
        description="Instead of repeat: the source's share of an epoch is its weight over the sum of all. "
        "An epoch is as long as the samples that the caps leave.",
    )
    cap: int | None = Field(
        default=None, ge=1, description="At most this many of its samples, chosen by name."
    )


class OptimizerConfig(Config):
    """AdamW with linear warm-up and cosine decay, the schedule that the released script actually used."""

    lr: float = Field(default=2e-5, gt=0, description="Peak learning rate, after the warm-up.")
    part_lr: dict[Part, float] = Field(default={}, description="Learning rates of parts that differ from lr.")
    betas: tuple[float, float] = Field(
        default=(0.9, 0.999), description="Decay of AdamW's two running means, of gradients and of squares."
    )
    eps: float = Field(default=1e-8, description="AdamW's epsilon, below the root of the squares.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="AdamW's weight decay; biases, norms and other vectors have none."
    )
    warmup_share: float = Field(
        default=0.03, ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0."
    )
    final_share: float = Field(
        default=0.03, ge=0, le=1, description="Last learning rate as a share of the peak."
    )
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")

    @field_validator("part_lr", mode="wrap")
    @classmethod
    def _each_part_once(cls, value: Any, read: ValidatorFunctionWrapHandler) -> dict[Part, float]:
        rates: dict[Part, float] = read(value)
        if isinstance(value, Mapping) and len(rates) < len(value):
            raise ValueError(f"{Part.SAM_DECODER} and {FORMER_NAME} are one part; keep the first name")
        return rates


class LoraConfig(Config):
    """Adapters of low rank (arXiv:2106.09685) in the language model, instead of training all of it.

    Rank, alpha and targets are by default those of the released script's option. There is no dropout: it
    would draw from a worker's random stream.
    """

    rank: int = Field(default=8, ge=1, description="Rank of an adapter: columns of its smaller matrices.")
    alpha: float = Field(default=16, gt=0, description="An adapter is scaled by alpha / rank.")
    targets: tuple[LoraTarget, ...] = Field(
        default=(LoraTarget.QUERY, LoraTarget.VALUE),
        min_length=1,
        description="Linear layers of every block.",
    )
    train_embeddings: bool = Field(
        default=True,
        description="Also train the word embeddings and the output layer, without adapters: adapters do "
        "not cover them, "
        "and new rows of [SEG], <region> and the time tokens start out equal. false: for a "
        "start that has these tokens.",
    )


class StageConfig(Config):
    """One training stage."""

    name: str = Field(
        pattern=r"^[a-z0-9_]+$",
        description="Name of the stage and of its step: lower-case letters, digits and _.",
    )
    # The start is an artifact, whose fingerprint is part of the stage's.
    start_from: Annotated[str, Bears()] = Field(
        default="init", description="init, an earlier stage's name, or the path of a checkpoint artifact."
    )
    mixture: dict[str, MixtureEntry] = Field(
        default={}, description="By source name; empty: every training source once."
    )
    global_batch: int = Field(
        ge=1,
        description="Samples per optimizer step, over all workers, whichever their number.",
    )
    epochs: float | None = Field(
        default=None, gt=0, description="Length of the stage in passes over its mixture; or give steps."
    )
    steps: int | None = Field(default=None, ge=1, description="Optimizer steps, instead of epochs.")
    train: tuple[Part, ...] = Field(
        default=PUBLISHED_TRAINED, min_length=1, description="Parts that are trained; all others are frozen."
    )
    lora: LoraConfig | None = Field(
        default=None, description="Train adapters in the language model; null: all of its weights."
    )
    optimizer: OptimizerConfig = Field(
        default=OptimizerConfig(), description="AdamW and its schedule; by default as released."
    )
    max_text_tokens: int = Field(
        default=2048,
        ge=16,
        description="Tokens of text per sample, before those of the video: a longer conversation loses its "
        "end, which is counted; one that would lose a [SEG] or <region> is left out and listed in the "
        "quarantine.",
    )
    max_unusable: Runtime[dict[str, Share]] = Field(
        default={},
        description="By source name: largest share of a worker's visits whose sample cannot be used. Above "
        "it (and above 16, unless it is 0) the stage stops. Sources that are not named: 0.02 together.",
    )
    callbacks: Runtime[tuple[str, ...]] = Field(
        default=(),
        description="Callbacks by name, called around steps, saved states and the end: those in "
        "training/callbacks/, and those of installed packages. They only observe.",
    )
    layout: LayoutConfig = Field(description="What the stage runs on.")

    @property
    def accumulation(self) -> int:
        """Forward passes of one worker per optimizer step."""
        return -(-self.global_batch // (self.layout.workers * self.layout.micro_batch))

    def problems(self) -> Iterator[Problem]:
        """What does not fit together: trained parts, weights of the mixture, the batch and its division."""
        yield from self._part_problems()
        yield from self._mixture_problems()
        if self.global_batch < self.layout.workers:
            yield Problem(
                (),
                f"global_batch {self.global_batch} is less than workers {self.layout.workers}; each needs a "
                f"sample, so workers can be {self.global_batch} at most",
            )
        if (self.epochs is None) == (self.steps is None):
            yield Problem((), "give either epochs or steps")

    def _part_problems(self) -> Iterator[Problem]:
        if twice := [part for part in Part if self.train.count(part) > 1]:
            yield Problem(("train",), f"train names {twice[0]} twice")
        for part in self.optimizer.part_lr:
            if part not in self.train:
                yield Problem(
                    ("optimizer", "part_lr", part),
                    f"optimizer.part_lr has a rate for {part}, which train leaves out; add it to train, or "
                    "take its rate out",
                )
        if self.lora is not None and Part.LANGUAGE not in self.train:
            yield Problem(("lora",), "lora is set, but train leaves language out; add it, or take lora out")

    def _mixture_problems(self) -> Iterator[Problem]:
        weighed = [name for name, entry in self.mixture.items() if entry.weight is not None]
        if weighed and len(weighed) < len(self.mixture):
            other = next(name for name in self.mixture if name not in weighed)
            yield Problem(
                ("mixture",),
                f"mixture entry {weighed[0]} has a weight and {other} has none: a share is of a whole, so "
                "give every entry of the stage a weight, or none",
            )
        for name in weighed:
            if "repeat" in self.mixture[name].model_fields_set and self.mixture[name].repeat != 1:
                yield Problem(("mixture", name), f"mixture entry {name} has both repeat and weight; keep one")
