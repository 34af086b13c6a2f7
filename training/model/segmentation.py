"""From [SEG] states to masks: the [SEG] head and SAM 2's image encoder and mask decoder.

SAM 2 (arXiv:2408.00714) prompted as in Sa2VA (arXiv:2501.04001). Masks are decoded frame by frame, without
memory, in training and in inference (but see ``propagation``). All masks are object-major.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.plan.model import Sam2Config
from training.model.config import sam2_config

CHUNK_FRAMES: Final = 8
"""Frames that are segmented in one pass: their masks are large at full size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFeatures:
    """SAM 2's features of F frames, at strides 4, 8 and 16, before the mask decoder's own convolutions."""

    fine_F: Tensor
    middle_F: Tensor
    coarse_F: Tensor

    def __len__(self) -> int:
        return len(self.coarse_F)


class Segmentation(nn.Module):
    """[SEG] head, and SAM 2 with all its parts; only ``propagation`` runs the memory parts."""

    def __init__(self, width: int, config: Sam2Config, attention: str) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.hidden_dim))
        # Hiera's windows and the decoder's few tokens are too small to benefit from flash attention.
        plain = "eager" if attention == "eager" else "sdpa"
        self.sam = transformers.Sam2VideoModel._from_config(sam2_config(config), attn_implementation=plain)
        # One buffer under two names in transformers; sharing it keeps the two equal.
        self.sam.prompt_encoder.shared_embedding = self.sam.shared_image_embedding

    def decoder_parameters(self) -> list[nn.Parameter]:
        """The mask decoder without its two heads of scores, which no loss reaches."""
        idle = {
            id(p)
            for head in (self.sam.mask_decoder.iou_prediction_head, self.sam.mask_decoder.pred_obj_score_head)
            for p in head.parameters()
        }
        return [p for p in self.sam.mask_decoder.parameters() if id(p) not in idle]

    def encode(self, frames_F3SS: Tensor) -> FrameFeatures:
        """Features of normalised square frames; without gradients if the encoder is frozen."""
        frozen = not self.sam.vision_encoder.backbone.pos_embed.requires_grad
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            fine, middle, coarse = self._pyramid(frames_F3SS)
        # SAM 2 adds an embedding to the features of a frame without memory.
        return FrameFeatures(
            fine_F=fine, middle_F=middle, coarse_F=coarse + self.sam.no_memory_embedding.reshape(1, -1, 1, 1)
        )

    def _pyramid(self, frames_F3SS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """SAM 2's feature pyramid, top-down only from stride 32 to 16, as in its published configurations.

        transformers' own neck also computes position encodings for every level and frame, which are not
        needed here and take a sixth of a training step.
        """
        encoder = self.sam.vision_encoder
        stages = encoder.backbone(frames_F3SS).intermediate_hidden_states
        deep, coarse, middle, fine = (
            conv(stage.permute(0, 3, 1, 2))
            for conv, stage in zip(encoder.neck.convs, reversed(stages), strict=True)
        )
        return fine, middle, coarse + F.interpolate(deep, scale_factor=2.0, mode="nearest")

    def decode_pairs(self, features: FrameFeatures, frame_P: Tensor, seg_PD: Tensor) -> Tensor:
        """Mask logits [P, S, S] of (frame, embedding) pairs, at SAM 2's input size.

        Of three candidates the one with the highest predicted IoU is used; SAM 2's object score is ignored.
        """
        sam, side = self.sam, self.config.image_size
        decoder, prompts = sam.mask_decoder, sam.prompt_encoder
        dtype = features.coarse_F.dtype
        # SAM 2's own encoding of an empty prompt: one absent point, and one more as padding.
        absent = prompts.not_a_point_embed.weight.expand(len(seg_PD), 2, -1)
        sparse = torch.cat([absent, seg_PD[:, None].to(absent.dtype)], 1)[:, None]
        dense = prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        positions = sam.get_image_wide_positional_embeddings().to(dtype)
        fine, middle = decoder.conv_s0(features.fine_F), decoder.conv_s1(features.middle_F)
        masks, iou, _, _ = decoder(
            image_embeddings=features.coarse_F[frame_P],
            image_positional_embeddings=positions.expand(len(frame_P), -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            high_resolution_features=[fine[frame_P], middle[frame_P]],
        )
        best = iou[:, 0].argmax(-1)
        chosen = masks[torch.arange(len(best), device=best.device), 0, best]
        return F.interpolate(chosen[:, None].float(), (side, side), mode="bilinear", align_corners=False)[
            :, 0
        ]

    def decode(self, features: FrameFeatures, seg_OD: Tensor) -> Tensor:
        """Mask logits [O, F, S, S] of every embedding on every frame."""
        objects, frames = len(seg_OD), len(features)
        if not objects or not frames:
            return features.coarse_F.new_zeros(
                objects, frames, *[self.config.image_size] * 2, dtype=torch.float32
            )
        frame_P = torch.arange(frames, device=seg_OD.device).repeat(objects)
        return self.decode_pairs(features, frame_P, seg_OD.repeat_interleave(frames, 0)).unflatten(
            0, (objects, frames)
        )

    @torch.no_grad()
    def decode_masks(
        self,
        frames_F3SS: Tensor,
        seg_OD: Tensor,
        chunk_frames: int = CHUNK_FRAMES,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Mask logits [O, F, h, w] on any number of frames, each encoded once for all objects.

        ``size`` is (height, width) in pixels; None keeps SAM 2's input size. Positive means object.
        """
        height, width = size or (self.config.image_size,) * 2
        chunks = [
            to_size(self.decode(self.encode(part), seg_OD), height, width)
            for part in frames_F3SS.split(chunk_frames)
        ]
        return torch.cat(chunks, 1) if chunks else frames_F3SS.new_zeros(len(seg_OD), 0, height, width)


def to_size(logits_OFSS: Tensor, height: int, width: int) -> Tensor:
    """Mask logits resized to a size in pixels, bilinear."""
    if logits_OFSS.shape[-2:] == (height, width) or not logits_OFSS.numel():
        return (
            logits_OFSS
            if logits_OFSS.numel()
            else logits_OFSS.new_zeros(*logits_OFSS.shape[:2], height, width)
        )
    return F.interpolate(logits_OFSS, (height, width), mode="bilinear", align_corners=False)
