"""The whole plan file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pipeline.plan.base import Config, KeysOf
from pipeline.plan.data import PrepConfig, Use
from pipeline.plan.demo import DemoConfig
from pipeline.plan.doctor import DoctorConfig
from pipeline.plan.evaluation import EvaluationConfig
from pipeline.plan.identity import Input
from pipeline.plan.model import Attention, ModelConfig, Preset, model_config
from pipeline.plan.runtime import RayConfig, StorageConfig, TrackingConfig
from pipeline.plan.section_errors import below
from pipeline.plan.training import Part, Precision, StageConfig


class RowStart(StrEnum):
    """What the embedding rows of added tokens start from."""

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
        description="Where language weights are loaded: rows of tokens that they do not know start from the "
        "mean of all that they know, or from N(0, 0.02), the library's default.",
    )


class WeightsConfig(Config):
    """Published weights to start from; a part without a path starts at random, from the plan's seed.

    A path is a file or a folder of safetensors or .bin shards, local or on S3, or a hub id: ``org/name``,
    best with its revision, ``org/name@revision``. A part's own path goes before that of a larger one.
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
        """The paths that are given, by their keys."""
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
    def new_rows_alike(self) -> bool:
        """Whether init gives all tokens that the language weights do not know one and the same row.

        Weights of the whole UFVideo know the 102 tokens, and random weights are all different.
        """
        grown = self.weights.language or self.weights.videorefer
        return bool(grown) and self.tokenizer.new_rows is RowStart.MEAN

    @model_validator(mode="after")
    def _overrides_are_known(self) -> Self:
        with below("overrides"):
            _ = self.resolved
        return self


class Plan(Config):
    """A whole run as data."""

    name: str = Field(
        pattern=r"^[a-z0-9_-]+$",
        description="What the run is called, on its report and in MLflow: small letters, digits, _ and -.",
    )
    seed: int = Field(
        default=42,
        description="What every random choice is derived from, with the names of what is chosen: selection, "
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
        default=DoctorConfig(), description="How much of what `ufvideo doctor` finds is put up with."
    )
    model: ModelSection = Field(description="The model's size, its tokenizer and the weights to start from.")
    stages: tuple[StageConfig, ...] = Field(
        default=(), description="The training stages, in their order; by default none."
    )
    evaluation: EvaluationConfig | None = Field(
        default=None, description="Which checkpoints are scored on which benchmarks; null: nothing is scored."
    )

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        sources = {s.name: s for s in self.data.sources}
        made = ["init"]
        for stage in self.stages:
            if stage.name in (*made, "before"):
                raise ValueError(f"stage name {stage.name} is taken")
            if "/" not in stage.start_from and stage.start_from not in made:
                raise ValueError(
                    f"stage {stage.name} starts from {stage.start_from}, which is none of {', '.join(made)}"
                )
            for name in stage.mixture:
                if name not in sources or sources[name].use is not Use.TRAIN:
                    raise ValueError(
                        f"stage {stage.name} mixes in {name}, which is no training source of this plan"
                    )
            made.append(stage.name)
        if not self.demo and any(
            "${corpora}" in text for s in self.data.sources for text in (s.annotations, *s.media)
        ):
            raise ValueError(
                "a source lies in ${corpora}, but the plan has no demo section that would write it"
            )
        if self.evaluation:
            for bench in self.evaluation.benchmarks:
                wanted = Use.TRAIN if bench.seen else Use.BENCHMARK
                if bench.source not in sources or sources[bench.source].use is not wanted:
                    raise ValueError(f"benchmark {bench.source} is no source with use: {wanted}")
            for checkpoint in self.evaluation.checkpoints:
                if "/" not in checkpoint and checkpoint not in made:
                    raise ValueError(f"evaluation scores {checkpoint}, which is none of {', '.join(made)}")
        return self

    @model_validator(mode="after")
    def _flash_attention_can_run(self) -> Self:
        if self.model.resolved.attention is not Attention.FLASH:
            return self
        for stage in self.stages:
            for field, value, bad in (
                ("use_gpu: false", stage.layout.use_gpu, False),
                ("precision: fp32", stage.layout.precision, Precision.FP32),
            ):
                if value == bad:
                    raise ValueError(
                        f"model.overrides.attention is flash_attention_2, which needs a GPU and bf16, but "
                        f"stage {stage.name} has layout.{field}; choose auto, which takes flash attention "
                        "where it can run"
                    )
        return self

    @model_validator(mode="after")
    def _new_tokens_can_be_told_apart(self) -> Self:
        alike = {"init"} if self.model.new_rows_alike else set()
        for stage in self.stages:
            words = Part.LANGUAGE in stage.train and (stage.lora is None or stage.lora.train_embeddings)
            if stage.start_from not in alike or words:
                continue
            if stage.lora is not None:
                raise ValueError(
                    f"stage {stage.name} has lora.train_embeddings: false, but where it starts the rows of "
                    "[SEG], <region> and the time tokens are all the same (model.tokenizer.new_rows: mean), "
                    f"and adapters cannot make them differ; set lora.train_embeddings: true in {stage.name}"
                )
            alike.add(stage.name)
        return self
