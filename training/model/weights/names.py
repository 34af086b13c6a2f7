"""Maps parameter names between the published UFVideo checkpoint and this model, in both directions.

The published layout is LLaVA-like: ``model.layers.*``, ``lm_head``, ``model.vision_tower.vision_tower.*``,
``model.mm_projector.*``, ``model.region_encoder.*``, ``model.text_hidden_fcs.*`` and
``model.mask_encoder.sam2_model.*``. The last follows the public SAM 2 code, except that the memory fuser's
``gamma`` is published as ``g_weight``; both are read.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.plan.parts import Part
from training.model.parts import ROWS, SAM, SAM_PUBLISHED

# (here, published); {i} and {j} are numbers, {w} is a word, a trailing {r} is the rest. First match wins.
_SAM_RULES: tuple[tuple[str, str], ...] = (
    ("no_memory_embedding", "no_mem_embed"),
    ("no_memory_positional_encoding", "no_mem_pos_enc"),
    ("no_object_pointer", "no_obj_ptr"),
    ("memory_temporal_positional_encoding", "maskmem_tpos_enc"),
    ("mask_downsample.{r}", "mask_downsample.{r}"),
    ("object_pointer_proj.proj_in.{r}", "obj_ptr_proj.layers.0.{r}"),
    ("object_pointer_proj.layers.0.{r}", "obj_ptr_proj.layers.1.{r}"),
    ("object_pointer_proj.proj_out.{r}", "obj_ptr_proj.layers.2.{r}"),
    # image encoder
    ("vision_encoder.backbone.patch_embed.projection.{r}", "image_encoder.trunk.patch_embed.proj.{r}"),
    ("vision_encoder.backbone.blocks.{i}.layer_norm{j}.{r}", "image_encoder.trunk.blocks.{i}.norm{j}.{r}"),
    ("vision_encoder.backbone.blocks.{i}.mlp.proj_in.{r}", "image_encoder.trunk.blocks.{i}.mlp.layers.0.{r}"),
    (
        "vision_encoder.backbone.blocks.{i}.mlp.proj_out.{r}",
        "image_encoder.trunk.blocks.{i}.mlp.layers.1.{r}",
    ),
    ("vision_encoder.backbone.{r}", "image_encoder.trunk.{r}"),
    ("vision_encoder.neck.convs.{i}.{r}", "image_encoder.neck.convs.{i}.conv.{r}"),
    # prompt encoder
    (
        "shared_image_embedding.positional_embedding",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    ),
    ("prompt_encoder.mask_embed.conv1.{r}", "sam_prompt_encoder.mask_downscaling.0.{r}"),
    ("prompt_encoder.mask_embed.layer_norm1.{r}", "sam_prompt_encoder.mask_downscaling.1.{r}"),
    ("prompt_encoder.mask_embed.conv2.{r}", "sam_prompt_encoder.mask_downscaling.3.{r}"),
    ("prompt_encoder.mask_embed.layer_norm2.{r}", "sam_prompt_encoder.mask_downscaling.4.{r}"),
    ("prompt_encoder.mask_embed.conv3.{r}", "sam_prompt_encoder.mask_downscaling.6.{r}"),
    ("prompt_encoder.no_mask_embed.{r}", "sam_prompt_encoder.no_mask_embed.{r}"),
    ("prompt_encoder.not_a_point_embed.{r}", "sam_prompt_encoder.not_a_point_embed.{r}"),
    # mask decoder
    (
        "mask_decoder.transformer.layers.{i}.mlp.proj_in.{r}",
        "sam_mask_decoder.transformer.layers.{i}.mlp.layers.0.{r}",
    ),
    (
        "mask_decoder.transformer.layers.{i}.mlp.proj_out.{r}",
        "sam_mask_decoder.transformer.layers.{i}.mlp.layers.1.{r}",
    ),
    (
        "mask_decoder.transformer.layers.{i}.layer_norm{j}.{r}",
        "sam_mask_decoder.transformer.layers.{i}.norm{j}.{r}",
    ),
    (
        "mask_decoder.transformer.layers.{i}.{w}.o_proj.{r}",
        "sam_mask_decoder.transformer.layers.{i}.{w}.out_proj.{r}",
    ),
    (
        "mask_decoder.transformer.final_attn_token_to_image.o_proj.{r}",
        "sam_mask_decoder.transformer.final_attn_token_to_image.out_proj.{r}",
    ),
    (
        "mask_decoder.transformer.layer_norm_final_attn.{r}",
        "sam_mask_decoder.transformer.norm_final_attn.{r}",
    ),
    ("mask_decoder.upscale_conv1.{r}", "sam_mask_decoder.output_upscaling.0.{r}"),
    ("mask_decoder.upscale_layer_norm.{r}", "sam_mask_decoder.output_upscaling.1.{r}"),
    ("mask_decoder.upscale_conv2.{r}", "sam_mask_decoder.output_upscaling.3.{r}"),
    (
        "mask_decoder.output_hypernetworks_mlps.{i}.proj_in.{r}",
        "sam_mask_decoder.output_hypernetworks_mlps.{i}.layers.0.{r}",
    ),
    (
        "mask_decoder.output_hypernetworks_mlps.{i}.layers.0.{r}",
        "sam_mask_decoder.output_hypernetworks_mlps.{i}.layers.1.{r}",
    ),
    (
        "mask_decoder.output_hypernetworks_mlps.{i}.proj_out.{r}",
        "sam_mask_decoder.output_hypernetworks_mlps.{i}.layers.2.{r}",
    ),
    ("mask_decoder.iou_prediction_head.proj_in.{r}", "sam_mask_decoder.iou_prediction_head.layers.0.{r}"),
    ("mask_decoder.iou_prediction_head.layers.0.{r}", "sam_mask_decoder.iou_prediction_head.layers.1.{r}"),
    ("mask_decoder.iou_prediction_head.proj_out.{r}", "sam_mask_decoder.iou_prediction_head.layers.2.{r}"),
    ("mask_decoder.pred_obj_score_head.proj_in.{r}", "sam_mask_decoder.pred_obj_score_head.layers.0.{r}"),
    ("mask_decoder.pred_obj_score_head.layers.0.{r}", "sam_mask_decoder.pred_obj_score_head.layers.1.{r}"),
    ("mask_decoder.pred_obj_score_head.proj_out.{r}", "sam_mask_decoder.pred_obj_score_head.layers.2.{r}"),
    ("mask_decoder.{r}", "sam_mask_decoder.{r}"),
    # memory
    ("memory_attention.layers.{i}.layer_norm{j}.{r}", "memory_attention.layers.{i}.norm{j}.{r}"),
    ("memory_attention.layers.{i}.{w}.o_proj.{r}", "memory_attention.layers.{i}.{w}.out_proj.{r}"),
    ("memory_attention.layer_norm.{r}", "memory_attention.norm.{r}"),
    ("memory_attention.{r}", "memory_attention.{r}"),
    *(
        (
            f"memory_encoder.mask_downsampler.layers.{i}.conv.{{r}}",
            f"memory_encoder.mask_downsampler.encoder.{3 * i}.{{r}}",
        )
        for i in range(4)
    ),
    *(
        (
            f"memory_encoder.mask_downsampler.layers.{i}.layer_norm.{{r}}",
            f"memory_encoder.mask_downsampler.encoder.{3 * i + 1}.{{r}}",
        )
        for i in range(4)
    ),
    ("memory_encoder.mask_downsampler.final_conv.{r}", "memory_encoder.mask_downsampler.encoder.12.{r}"),
    ("memory_encoder.feature_projection.{r}", "memory_encoder.pix_feat_proj.{r}"),
    ("memory_encoder.projection.{r}", "memory_encoder.out_proj.{r}"),
    ("memory_encoder.memory_fuser.layers.{i}.scale", "memory_encoder.fuser.layers.{i}.g_weight"),
    (
        "memory_encoder.memory_fuser.layers.{i}.depthwise_conv.{r}",
        "memory_encoder.fuser.layers.{i}.dwconv.{r}",
    ),
    ("memory_encoder.memory_fuser.layers.{i}.layer_norm.{r}", "memory_encoder.fuser.layers.{i}.norm.{r}"),
    (
        "memory_encoder.memory_fuser.layers.{i}.pointwise_conv{j}.{r}",
        "memory_encoder.fuser.layers.{i}.pwconv{j}.{r}",
    ),
)

_RULES: tuple[tuple[str, str], ...] = (
    *((SAM + here, SAM_PUBLISHED + published) for here, published in _SAM_RULES),
    ("vision.tower.{r}", "model.vision_tower.vision_tower.vision_model.{r}"),
    ("connector.{r}", "model.mm_projector.{r}"),
    ("regions.mlp.{r}", "model.region_encoder.feat_linear.{r}"),
    ("segmentation.head.{r}", "model.text_hidden_fcs.0.{r}"),
    ("language.lm.lm_head.{r}", "lm_head.{r}"),
    ("language.lm.model.{r}", "model.{r}"),
)

# Four published tables of one row each are a single table of four rows here.
_ROWS, _ROW_COUNT = f"{SAM}prompt_encoder.point_embed.weight", 4
_ROWS_PUBLISHED = f"{SAM_PUBLISHED}sam_prompt_encoder.point_embeddings.{{}}.weight"
_ROW = re.compile(re.escape(_ROWS_PUBLISHED).replace(r"\{\}", r"(\d+)"))

ALIAS = f"{SAM}prompt_encoder.shared_embedding.positional_embedding"
"""Second name of ``shared_image_embedding``'s buffer; saved and loaded under the first alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a published tensor is stored in this model: in a whole tensor, or in one row of it."""

    name: str
    row: int | None = None


_KINDS = {"i": r"\d+", "j": r"\d+", "w": r"\w+", "r": ".+"}


def _compiled(source: str, target: str) -> tuple[re.Pattern[str], str]:
    pattern = re.sub(r"\\\{(\w)\\\}", lambda m: f"(?P<{m[1]}>{_KINDS[m[1]]})", re.escape(source))
    return re.compile(pattern), re.sub(r"\{(\w)\}", r"\\g<\1>", target)


_FORWARD = [_compiled(here, published) for here, published in _RULES]
_BACKWARD = [_compiled(published, here) for here, published in _RULES]


def _translate(rules: list[tuple[re.Pattern[str], str]], name: str) -> str | None:
    for pattern, target in rules:
        if match := pattern.fullmatch(name):
            return match.expand(target)
    return None


def to_published(name: str) -> tuple[str, ...]:
    """Published names of a tensor of this model: one, or one per row. Raises ValueError if it has none."""
    if name == _ROWS:
        return tuple(_ROWS_PUBLISHED.format(i) for i in range(_ROW_COUNT))
    published = _translate(_FORWARD, name)
    if published is None or name == ALIAS:
        raise ValueError(f"{name} has no name in the published layout")
    return (published,)


def from_published(name: str) -> Place:
    """Where a published tensor goes, with either name of the fuser's scale. Raises ValueError if nowhere."""
    if match := _ROW.fullmatch(name):
        return Place(name=_ROWS, row=int(match[1]))
    if name.startswith(SAM_PUBLISHED) and name.endswith(".gamma"):
        name = name.removesuffix("gamma") + "g_weight"
    here = _translate(_BACKWARD, name)
    if here is None:
        raise ValueError(f"{name} is not a name of the published layout")
    return Place(name=here)


# Tables that follow from the configuration; older libraries stored them with the weights.
_COMPUTED = re.compile(r".*\.(rotary_emb\.inv_freq|embeddings\.position_ids)")


def part_of(name: str) -> Part:
    """The part that a tensor of this model belongs to. Raises ValueError if it belongs to none."""
    for part, row in ROWS.items():
        if row.here and name.startswith(row.here):
            return part
    raise ValueError(f"{name} belongs to no part of the model")


def locate(name: str, parts: Collection[Part]) -> tuple[Part | None, Place | None]:
    """The part that a stored tensor belongs to, and where it goes; None where this model has no such tensor.

    If ``parts`` is a single one, the names of its own public checkpoint are understood as well: SigLIP's
    ``vision_model.*``, and SAM 2's names without a prefix.
    """
    # The others' prefixes begin with the language model's, so the longest match decides.
    matches = [
        (len(prefix), part)
        for part, row in ROWS.items()
        for prefix in row.published
        if name.startswith(prefix)
    ]
    part = max(matches)[1] if matches else None
    if part is None and len(parts) == 1:
        (only,) = parts
        public, published = ROWS[only].public
        if published and name.startswith(public):
            part, name = only, published + name.removeprefix(public)
    try:
        return part, from_published(name)
    except ValueError:
        return part, None


def is_computed(name: str) -> bool:
    """True for a stored tensor that is not a weight: this model computes it from its configuration."""
    return _COMPUTED.fullmatch(name) is not None
