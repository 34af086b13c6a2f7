"""Outputs of the sam2 package's own code for random weights, in a separate process without this project.

``python sam2_side.py FOLDER SIDE SEED KEY=VALUE ...``, with the package on PYTHONPATH. The model is that of
the package's configuration of hiera-large, with the given fields replaced. FOLDER receives ``weights.pt``, as
SAM 2 publishes its checkpoints, and ``outputs.safetensors``: the inputs and the outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FRAMES, OBJECTS = 3, 4
VIDEO_FRAMES, PROMPTED = 8, (2, 6)
"""Number of frames of the video whose masks are propagated, and those among them that are prompted."""
_CONFIG = "configs/sam2/sam2_hiera_l.yaml"
_DENSE = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class WithSeg(nn.Module):
    """The package's prompt encoder, with an embedding after its own sparse ones, as Sa2VA adds it."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.get_dense_pe = encoder, encoder.get_dense_pe
        self.seg_BD = torch.zeros(0)

    def forward(self, **prompts: object) -> tuple[Tensor, Tensor]:
        """Sparse [B, n + 1, D] and dense embeddings."""
        sparse, dense = self.encoder(**prompts)
        return torch.cat([sparse, self.seg_BD[:, None]], 1), dense


@torch.no_grad()
def fill(model: nn.Module, random: torch.Generator) -> None:
    """Random numbers everywhere: tensors that stay zero would hide a name that is mapped wrongly."""
    dense = {id(m.weight) for m in model.modules() if isinstance(m, _DENSE)}
    for name, parameter in model.named_parameters():
        x = torch.randn(parameter.shape, generator=random)
        if id(parameter) in dense:
            parameter.copy_(x / parameter[0].numel() ** 0.5)
        elif parameter.ndim == 1:
            parameter.copy_(0.1 * x + name.endswith("weight"))  # of norms, around one; biases around zero
        else:
            parameter.copy_(0.5 * x)
    # With random weights it would find no object in most frames, and there would be nothing to compare.
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(100.0)


@torch.no_grad()
def first_frame_outputs(model: Any, frames_F3SS: Tensor, seg_OD: Tensor) -> dict[str, Tensor]:
    """Every frame as a first frame, once for each embedding, by the package's own step of a video."""
    raw = model.image_encoder(frames_F3SS)["backbone_fpn"]
    _, features, positions, sizes = model._prepare_backbone_features(model.forward_image(frames_F3SS))
    masks, ious, frame = [], [], None
    for seg in seg_OD:
        model.sam_prompt_encoder.seg_BD = seg.expand(len(frames_F3SS), -1)
        _, (_, _, iou, _, mask, _, _), _, frame = model._track_step(
            frame_idx=0,
            is_init_cond_frame=True,
            current_vision_feats=features,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=None,
            mask_inputs=None,
            output_dict={},
            num_frames=1,
            track_in_reverse=False,
            prev_sam_mask_logits=None,
        )
        masks.append(mask[:, 0])
        ious.append(iou)
    assert frame is not None
    return {
        "fine": raw[0],
        "middle": raw[1],
        "coarse": raw[2],
        "first_frame": frame,
        "masks": torch.stack(masks),
        "ious": torch.stack(ious),
    }


@torch.no_grad()
def propagated_masks(model: Any, video_F3SS: Tensor, masks_OFSS: Tensor) -> Tensor:
    """Mask logits [O, F, S, S] of a video: SAM 2's memory propagates those of the prompted frames.

    The loop over frames is the one of the package's video predictor, which keeps its memory in bf16.
    """
    masks = torch.zeros(masks_OFSS.shape[0], VIDEO_FRAMES, *masks_OFSS.shape[-2:])
    order = [*PROMPTED, *(f for f in range(VIDEO_FRAMES) if f not in PROMPTED)]
    for masks_FSS, out in zip(masks_OFSS, masks, strict=True):
        known: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        for frame in order:
            given = frame in PROMPTED
            image = model.forward_image(video_F3SS[frame : frame + 1])
            _, features, positions, sizes = model._prepare_backbone_features(image)
            step = model.track_step(
                frame_idx=frame,
                is_init_cond_frame=given,
                current_vision_feats=features,
                current_vision_pos_embeds=positions,
                feat_sizes=sizes,
                point_inputs=None,
                mask_inputs=(masks_FSS[PROMPTED.index(frame)] > 0).float()[None, None] if given else None,
                output_dict=known,
                num_frames=VIDEO_FRAMES,
            )
            step["maskmem_features"] = step["maskmem_features"].bfloat16().float()
            known["cond_frame_outputs" if given else "non_cond_frame_outputs"][frame] = step
            out[frame] = step["pred_masks_high_res"][0, 0]
    return masks


def main(folder: Path, side: int, seed: int, overrides: list[str]) -> None:
    """Builds, fills, runs and writes."""
    from sam2.build_sam import build_sam2

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_sam2(
        _CONFIG,
        device="cpu",
        hydra_overrides_extra=[f"++model.{change}" for change in (f"image_size={side}", *overrides)],
        apply_postprocessing=False,
    )
    random = torch.Generator().manual_seed(seed)
    fill(model, random)
    torch.save({"model": model.state_dict()}, folder / "weights.pt")
    frames = torch.randn(FRAMES, 3, side, side, generator=random)
    seg = torch.randn(OBJECTS, model.hidden_dim, generator=random)
    video = torch.randn(VIDEO_FRAMES, 3, side, side, generator=random)
    plain, asked = model.sam_prompt_encoder, model.pred_obj_scores
    # UFVideo uses SAM 2's prediction of whether the object is visible only in propagation.
    model.pred_obj_scores, model.sam_prompt_encoder = False, WithSeg(plain)
    out = {"frames": frames, "seg": seg, "video": video, **first_frame_outputs(model, frames, seg)}
    prompted = first_frame_outputs(model, video[list(PROMPTED)], seg)["masks"]
    model.pred_obj_scores, model.sam_prompt_encoder = asked, plain
    out["propagated"] = propagated_masks(model, video, prompted)
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, folder / "outputs.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
