"""Sizes of the model to start from, and single values replaced in them.

The published sizes are those of UFVideo-7B: SigLIP so400m/14-384, Qwen2-7B and SAM 2 hiera-large.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pipeline.plan.base import read_whole
from pipeline.plan.model import InitConfig, LanguageConfig, ModelConfig, Sam2Config, VisionConfig


class Preset(StrEnum):
    """Sizes to start from."""

    TOY = "toy"
    PUBLISHED_7B = "7b"


def published_7b() -> ModelConfig:
    """UFVideo-7B, with the vocabulary of its base model (before tokens are added)."""
    return ModelConfig(
        vision=VisionConfig(
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=384,
        ),
        language=LanguageConfig(
            vocab_size=152_064,
            hidden_size=3584,
            intermediate_size=18_944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
        ),
        sam2=Sam2Config(
            image_size=1024, embed_dim=144, num_heads=2, stages=(2, 6, 36, 4), global_att_blocks=(23, 33, 43)
        ),
    )


def toy() -> ModelConfig:
    """Every module at a size that two CPU cores can train. ``language.vocab_size`` must fit the tokenizer."""
    return ModelConfig(
        vision=VisionConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=56,
        ),
        language=LanguageConfig(
            vocab_size=1024,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            # Sequences of a hundred tokens need positions that differ within a hundred tokens.
            rope_theta=1000.0,
        ),
        sam2=Sam2Config(
            image_size=128,
            embed_dim=16,
            num_heads=1,
            stages=(1, 1, 2, 1),
            global_att_blocks=(3,),
            window_spec=(8, 4, 8, 4),
            decoder_mlp_dim=512,
            memory_layers=1,
        ),
        num_frames=8,
        num_sam_frames=4,
        init=InitConfig(
            linear_gain=1.0, language_gain=1.5, embedding_std=1.0, position_std=0.2, seg_head_gain=2.0
        ),
    )


def model_config(preset: Preset | str, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """A preset with fields replaced; nested fields as nested mappings, ``{"language": {"vocab_size": 500}}``.

    Raises ValueError (pydantic's) that names an unknown field or a value out of range.
    """
    base = {Preset.TOY: toy, Preset.PUBLISHED_7B: published_7b}[Preset(preset)]()
    values = _merged(base.model_dump(), overrides or {})
    return read_whole(lambda: ModelConfig.model_validate(values))


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        key: _merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **nested}
