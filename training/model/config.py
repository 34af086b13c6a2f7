"""Converts this project's ModelConfig to the configurations of transformers' classes."""

from __future__ import annotations

import transformers
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

from pipeline.plan.model import LanguageConfig, Sam2Config, VisionConfig


def siglip_config(config: VisionConfig) -> transformers.SiglipVisionConfig:
    """The vision tower (tanh-GELU, layer norms 1e-6)."""
    return transformers.SiglipVisionConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
    )


def qwen2_config(config: LanguageConfig) -> transformers.Qwen2Config:
    """The language model."""
    return transformers.Qwen2Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=config.tie_word_embeddings,
        use_sliding_window=False,
    )


def sam2_config(config: Sam2Config) -> transformers.Sam2VideoConfig:
    """SAM 2.0, not 2.1: no temporal projection of object pointers and no occlusion embedding."""
    widths = [config.embed_dim * 2**i for i in range(4)]
    hidden = config.hidden_dim
    backbone = Sam2HieraDetConfig(
        hidden_size=config.embed_dim,
        num_attention_heads=config.num_heads,
        image_size=[config.image_size, config.image_size],
        blocks_per_stage=list(config.stages),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[config.num_heads * 2**i for i in range(4)],
        window_size_per_stage=list(config.window_spec),
        global_attention_blocks=list(config.global_att_blocks),
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[config.image_size // s] * 2 for s in (4, 8, 16)],
        fpn_hidden_size=hidden,
    )
    return transformers.Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=hidden, image_size=config.image_size),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=hidden,
            mlp_dim=config.decoder_mlp_dim,
            num_hidden_layers=config.decoder_layers,
            iou_head_hidden_dim=hidden,
        ),
        image_size=config.image_size,
        num_maskmem=config.num_maskmem,
        enable_occlusion_spatial_embedding=False,
        enable_temporal_pos_encoding_for_object_pointers=False,
        memory_attention_hidden_size=hidden,
        memory_attention_num_layers=config.memory_layers,
        memory_attention_feed_forward_hidden_size=hidden * 8,
        memory_attention_rope_feat_sizes=[config.image_size // 16] * 2,
        memory_encoder_hidden_size=hidden,
        memory_encoder_output_channels=config.memory_dim,
        mask_downsampler_embed_dim=hidden,
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=hidden * 4,
    )
