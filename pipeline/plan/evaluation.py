"""The evaluation section: which checkpoints are scored on which benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from pipeline.plan.base import Config
from pipeline.plan.benchmarks import FAMILIES, PromptStyle
from pipeline.plan.identity import Bears, Runtime
from pipeline.plan.judge import JudgeConfig
from pipeline.plan.section_errors import Problem
from pipeline.times.temporal import Outside
from pipeline.times.text import Form

UNIT_SAMPLES = 16
"""Questions that an actor takes at once: few, so that actors finish together. No batch is larger."""


class Every(StrEnum):
    """Instead of a number."""

    ALL = "all"


class SegState(StrEnum):
    """Which hidden state of a generated answer becomes the prompt of a mask."""

    PREDICTING = "predicting"  # the one that predicts [SEG], as in training
    # One place earlier, as published; an answer's first token has none. After a single token the published
    # code uses all states of the prompt for the one [SEG]; here it is the prompt's last.
    PUBLISHED = "published"


class Decoding(StrEnum):
    """Where the questions are prepared while a model answers others."""

    ACTOR = "actor"
    CLUSTER = "cluster"


class BenchmarkConfig(Config):
    """One benchmark: a prepared source and the family that asks and scores it."""

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$",
        description="Name of the entry in tables and in MLflow; null: that of its source. Two entries on "
        "one source need names.",
    )
    source: str = Field(description="Name of a source with use: benchmark.")
    family: str = Field(description="How it is asked and scored.")
    limit: int | None = Field(
        default=None, ge=1, description="Score only this many samples, chosen by name; recorded."
    )
    style: PromptStyle = Field(
        default=PromptStyle.PUBLISHED,
        description="Wording of the question: published, the benchmark's own; llava_video, options as "
        "LLaVA-Video-178K writes them; prepared, as the prepared sample has it.",
    )
    bare_times: Form | None = Field(
        default=None,
        description="The unit of a number without one in an answer that names a time: seconds, fractions, "
        "percents or frames of what was shown. null: such an answer cannot be read, and is a failure.",
    )
    outside_times: Outside = Field(
        default=Outside.REFUSE,
        description="An answer's time outside the video: refuse (a failure) or clamp (cut, and counted).",
    )
    empty_masks: bool = Field(
        default=False,
        description="Of a benchmark whose truth is hidden: answers without usable masks, and videos that "
        "cannot be read, are submitted as empty masks, and counted. false: they are an error.",
    )
    seen: bool = Field(
        default=False,
        description="The source is a training source: the score measures memory, and the table says so.",
    )

    @property
    def entry(self) -> str:
        """The name of this entry, unique in a plan."""
        return self.name or self.source

    @field_validator("family")
    @classmethod
    def _family_is_known(cls, name: str) -> str:
        FAMILIES[name]
        return name

    def problems(self) -> Iterator[Problem]:
        """A wording that the family does not have, and rules about times for a family without times."""
        family = FAMILIES[self.family]
        if self.style not in family.styles:
            yield Problem(
                ("style",),
                f"benchmark {self.source}: style {self.style} does not suit {self.family}; choose "
                f"{', '.join(family.styles)}",
            )
        if self.empty_masks and not family.submits:
            yield Problem(
                ("empty_masks",),
                f"benchmark {self.source}: {self.family} has no submission; leave out empty_masks",
            )
        if self.bare_times in (Form.TOKENS, Form.CLOCK):
            yield Problem(
                ("bare_times",),
                f"benchmark {self.source}: bare_times {self.bare_times} are not bare numbers; choose "
                "seconds, fractions, percents or frames",
            )
        if self.outside_times is Outside.KEEP:
            yield Problem(
                ("outside_times",),
                f"benchmark {self.entry}: keep is for the truth of a source; choose refuse or clamp",
            )
        elif not family.times and (self.bare_times is not None or self.outside_times is not Outside.REFUSE):
            yield Problem(
                (),
                f"benchmark {self.source}: {self.family} asks for no time; leave out bare_times and "
                "outside_times",
            )


class EvaluationConfig(Config):
    """Scores ``checkpoints`` on ``benchmarks``."""

    checkpoints: Annotated[tuple[str, ...], Bears("report")] = Field(
        min_length=1,
        description="init, stage names, or places: folders of checkpoint artifacts, folders with weights and "
        "their tokenizer in the published layout, models of the hub as hf://org/name@revision.",
    )
    benchmarks: tuple[BenchmarkConfig, ...] = Field(
        min_length=1, description="What the checkpoints are asked."
    )
    max_new_tokens: int = Field(default=2048, ge=1, description="Tokens at which an answer is cut off.")
    seg_state: SegState = Field(
        default=SegState.PREDICTING,
        description="The hidden state from which a mask is computed: predicting, as in training, or "
        "published, the one before it, as in the published code.",
    )
    prompted_frames: int | None = Field(
        default=None,
        ge=1,
        description="How many frames of a video [SEG] prompts. null: every one, as published. A number: "
        "so many evenly spread ones, and SAM 2's memory propagates their masks to the others.",
    )
    judge: JudgeConfig | None = Field(
        default=None,
        description="The language model that marks free text; null: its columns say that it is not judged.",
    )
    report_samples: Annotated[Annotated[int, Field(ge=0)] | Every, Bears("report")] = Field(
        default=3,
        description="Samples on the page, 60 to 90 kB each: so many of each benchmark, of each task where "
        "tasks have rows of their own; or all.",
    )
    actors: Runtime[int] = Field(
        default=1,
        ge=1,
        description="Processes that answer, each with its copy of the model; at most as many as fit.",
    )
    batch_size: Runtime[int] = Field(
        default=1, ge=1, le=UNIT_SAMPLES, description="Prompts of one forward pass."
    )
    use_gpu: bool = Field(
        default=True,
        description="One GPU for each actor, which answers in bfloat16; false: CPUs alone, in float32.",
    )
    gpus_per_actor: Runtime[float] = Field(
        default=1,
        gt=0,
        le=1,
        description="Part of a GPU that an actor takes: 0.5 puts two actors on each, if both models fit into "
        "its memory.",
    )
    cpus_per_actor: Runtime[float] = Field(
        default=4, gt=0, description="CPUs that Ray sets aside for an actor; fractions share one."
    )
    torch_threads: Runtime[int | None] = Field(
        default=None, ge=1, description="Threads of one actor on CPU; null: torch's choice."
    )
    batches_ahead: Runtime[int] = Field(
        default=1,
        ge=0,
        le=64,
        description="How many batches an actor prepares while its model answers another: threads, or tasks "
        "with decoding: cluster. More where decoding is slower than answering; each is in memory.",
    )
    decoding: Runtime[Decoding] = Field(
        default=Decoding.ACTOR,
        description="Where videos are decoded for the questions: actor, in threads of the actor; cluster, in "
        "Ray tasks of one CPU each on any node, so that GPUs do not wait for the CPUs of their own machine.",
    )

    @field_validator("report_samples", mode="before")
    @classmethod
    def _samples_are_a_number_or_all(cls, value: object) -> object:
        """One message in place of one for each kind of value."""
        if value == Every.ALL or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        raise ValueError(f"{value!r} is neither a whole number from 0 on nor all.")
