"""The whole plan file."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from pipeline.plan.base import Config, KeysOf, read_whole
from pipeline.plan.data import PrepConfig
from pipeline.plan.demo import DemoConfig
from pipeline.plan.doctor import DoctorConfig
from pipeline.plan.evaluation import EvaluationConfig
from pipeline.plan.identity import Input
from pipeline.plan.layout import Precision
from pipeline.plan.model import Attention, ModelConfig
from pipeline.plan.names import INIT, name_problems
from pipeline.plan.parts import Part
from pipeline.plan.presets import Preset, model_config
from pipeline.plan.runtime import RayConfig, StorageConfig, TrackingConfig
from pipeline.plan.section_errors import Problem, below, refuse
from pipeline.plan.training import StageConfig


class RowStart(StrEnum):
    """The starting values for the embedding rows of added tokens."""

    MEAN = "mean"
    RANDOM = "random"


class TokenizerConfig(Config):
    """Where the text tokenizer comes from; the model's 102 own tokens are added to it."""

    path: Input[str | None] = Field(
        default=None,
        description="Folder with a Hugging Face tokenizer, or a hub id (org/name@revision); "
        "null: train a small BPE.",
    )
    vocab_size: int = Field(
        default=600, ge=300, description="Size of a BPE trained here on the prepared training text."
    )
    new_rows: RowStart = Field(
        default=RowStart.MEAN,
        description="If language weights are loaded: the initial rows of tokens that they do not have, "
        "the mean of all rows that they have, or N(0, 0.02), the library's default.",
    )


class WeightsConfig(Config):
    """Published weights to start from; a part without a path starts at random, from the plan's seed.

    A path is a file or a folder of safetensors or .bin shards, local or on S3, or a hub id: ``org/name``,
    best with its revision, ``org/name@revision``. A part's own path takes precedence over a larger one's.
    """

    whole: Input[str | None] = Field(default=None, description="A checkpoint in UFVideo's published layout.")
    videorefer: Input[str | None] = Field(
        default=None,
        description="A VideoRefer checkpoint, UFVideo's start: language model, connector, region encoder.",
    )
    language: Input[str | None] = Field(default=None, description="A Qwen2 (or VideoRefer) checkpoint.")
    connector: Input[str | None] = Field(
        default=None, description="A VideoRefer checkpoint, for its spatio-temporal connector."
    )
    regions: Input[str | None] = Field(
        default=None, description="A VideoRefer checkpoint, for its region encoder."
    )
    vision: Input[str | None] = Field(default=None, description="A SigLIP checkpoint.")
    sam2: Input[str | None] = Field(
        default=None, description="The published .pt of SAM 2, or its .safetensors under the same names."
    )
    bf16: bool = Field(
        default=False,
        description="Keep all weights of the start in bfloat16: half the size, and what Qwen2 and VideoRefer "
        "are published in; weights published in fp32 are rounded, as training in bf16 does anyway.",
    )

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are set, by their keys."""
        return {key: value for key, value in self if isinstance(value, str)}


class ModelSection(Config):
    """The model's size, its tokenizer and the weights that it starts from."""

    preset: Preset = Field(
        default=Preset.PUBLISHED_7B,
        description="Sizes to start from: 7b, the published ones, or toy, small enough for two CPU cores.",
    )
    overrides: Annotated[dict[str, Any], KeysOf(ModelConfig)] = Field(
        default={}, description="Single values of the preset to replace, under the same keys."
    )
    tokenizer: TokenizerConfig = Field(
        default=TokenizerConfig(), description="The text tokenizer; by default a small one is trained."
    )
    weights: WeightsConfig = Field(
        default=WeightsConfig(),
        description="Published weights to start from; by default every part starts at random.",
    )

    @property
    def resolved(self) -> ModelConfig:
        """The full model configuration."""
        return model_config(self.preset, self.overrides)

    @property
    def new_rows_equal(self) -> bool:
        """Whether init gives the same row to all tokens that the language weights do not have.

        Weights of the whole UFVideo have the 102 tokens, and random rows are all different.
        """
        grown = self.weights.language or self.weights.videorefer
        return bool(grown) and self.tokenizer.new_rows is RowStart.MEAN

    @model_validator(mode="after")
    def _overrides_are_known(self) -> Self:
        with below("overrides"):
            _ = self.resolved
        return self


class Plan(Config):
    """A whole run."""

    name: str = Field(
        pattern=r"^[a-z0-9_-]+$",
        description="Name of the run, on its report and in MLflow: lower-case letters, digits, _ and -.",
    )
    seed: int = Field(
        default=42,
        description="Seed of every random choice, each with a name of its own: selection, "
        "order, templates, initial weights.",
    )
    storage: StorageConfig = Field(description="Where artifacts go.")
    ray: RayConfig = Field(
        default=RayConfig(), description="The cluster that does the work; by default one within the command."
    )
    tracking: TrackingConfig = Field(
        default=TrackingConfig(),
        description="Where MLflow runs are written; by default into the storage root.",
    )
    demo: DemoConfig | None = Field(
        default=None, description="Write demo corpora first; sources name them ${corpora}."
    )
    data: PrepConfig = Field(description="Which sources become which samples.")
    doctor: DoctorConfig = Field(
        default=DoctorConfig(), description="The share of findings of `ufvideo doctor` that is tolerated."
    )
    model: ModelSection | None = Field(
        default=None,
        description="The model's size, its tokenizer and the weights to start from; null where the plan "
        "neither trains nor scores init.",
    )
    stages: tuple[StageConfig, ...] = Field(
        default=(), description="The training stages, in their order; by default none."
    )
    evaluation: EvaluationConfig | None = Field(
        default=None, description="Which checkpoints are scored on which benchmarks; null: nothing is scored."
    )

    @property
    def model_section(self) -> ModelSection:
        """The model of a plan that trains or scores init; validation ensures that it exists."""
        if self.model is None:
            raise ValueError("this plan has no model")
        return self.model

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Report names that refer to nothing, and errors of and in all sections, together."""
        try:
            plan = read_whole(lambda: read(given))
        except ValidationError as error:
            refuse(name_problems(given), error)
            raise
        refuse(name_problems(plan))
        return plan

    def problems(self) -> Iterator[Problem]:
        """Stages that cannot run with the plan's model."""
        if self.model is None:
            return
        if self.model.resolved.attention is Attention.FLASH:
            yield from self._without_flash_attention()
        yield from self._tokens_all_the_same()

    def _without_flash_attention(self) -> Iterator[Problem]:
        for i, stage in enumerate(self.stages):
            for key, words, value, bad in (
                ("use_gpu", "use_gpu: false", stage.layout.use_gpu, False),
                ("precision", "precision: fp32", stage.layout.precision, Precision.FP32),
            ):
                if value == bad:
                    text = (
                        "model.overrides.attention is flash_attention_2, which needs a GPU and bf16, but "
                        f"stage {stage.name} has layout.{words}; choose auto, which takes flash attention "
                        "where it can run."
                    )
                    yield Problem(("stages", i, "layout", key), text)

    def _tokens_all_the_same(self) -> Iterator[Problem]:
        assert self.model is not None
        with_equal_rows = {INIT} if self.model.new_rows_equal else set()
        for i, stage in enumerate(self.stages):
            trained = Part.LANGUAGE in stage.train and (stage.lora is None or stage.lora.train_embeddings)
            if stage.start_from not in with_equal_rows or trained:
                continue
            if stage.lora is None:
                with_equal_rows.add(stage.name)
                continue
            text = (
                f"stage {stage.name} has lora.train_embeddings: false, but where it starts the rows of "
                "[SEG], <region> and the time tokens are all the same (model.tokenizer.new_rows: mean), "
                f"and adapters cannot make them differ; set lora.train_embeddings: true in {stage.name}."
            )
            yield Problem(("stages", i, "lora", "train_embeddings"), text)
