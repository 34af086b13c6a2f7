"""Segmenting several objects in one video: each frame is encoded once for all objects."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.compare import Pair, main
from pipeline.plan.model import Sam2Config
from pipeline.plan.presets import published_7b
from pipeline.records import masks
from training.model.segmentation import Segmentation, to_size

_SIDE, _FRAMES, _OBJECTS, _WIDTH = 256, 1, 4, 64
_VIDEO = (180, 320)  # 720 x 1280 pixels, reduced like the frames


def sizes() -> Sam2Config:
    """hiera-large and its decoder as published, except for the side of the frames.

    Encoder and decoder both grow with the number of pixels, so a smaller side keeps their proportion.
    """
    return published_7b().sam2.model_copy(update={"image_size": _SIDE})


@torch.no_grad()
def once(model: Segmentation, frames_F3SS: Tensor, seg_OD: Tensor) -> Tensor:
    """Mask logits [O, F, S, S], as in this project."""
    return model.decode(model.encode(frames_F3SS), seg_OD)


@torch.no_grad()
def for_each_object(model: Segmentation, frames_F3SS: Tensor, seg_OD: Tensor) -> Tensor:
    """The same, with SAM 2's features recomputed for every object, as in the published code."""
    return torch.cat([model.decode(model.encode(frames_F3SS), seg[None]) for seg in seg_OD])


@torch.no_grad()
def as_rle(model: Segmentation, frames_F3SS: Tensor, seg_OD: Tensor) -> list[list[str]]:
    """Everything up to the stored masks of the video's size."""
    inside = (to_size(once(model, frames_F3SS, seg_OD), *_VIDEO) > 0).numpy()
    return [masks.encode_many(masks_FHW) for masks_FHW in inside]


def same(a: Tensor, b: Tensor) -> bool:
    """The objects that both have agree."""
    count = min(len(a), len(b))
    return torch.allclose(a[:count], b[:count], atol=1e-3, rtol=1e-3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Segmentation(_WIDTH, sizes(), "sdpa").eval()
    frames = torch.randn(_FRAMES, 3, _SIDE, _SIDE)
    seg = torch.randn(_OBJECTS, model.config.hidden_dim)
    main(
        "objects",
        f"Masks from [SEG] embeddings on {_FRAMES} frame, hiera-large and its decoder at their published "
        f"widths and depths, frames of {_SIDE} instead of 1024 pixels a side (both parts are about "
        "proportional to the pixels), float32, one thread. The first two rows compare one way with itself: "
        "their ratio is the time for four objects over that for one, and the aim is at most 1.4.",
        [
            Pair(
                what="four objects (plain) against one (here), the encoder once in both",
                plain=lambda: once(model, frames, seg),
                ours=lambda: once(model, frames, seg[:1]),
                same=same,
            ),
            Pair(
                what=f"the same, up to RLE of masks of {_VIDEO[0]} x {_VIDEO[1]} pixels",
                plain=lambda: as_rle(model, frames, seg),
                ours=lambda: as_rle(model, frames, seg[:1]),
                same=lambda four, one: len(four) == _OBJECTS and four[0] == one[0],
            ),
            Pair(
                what="four objects: the encoder for each (plain), once for all (here)",
                plain=lambda: for_each_object(model, frames, seg),
                ours=lambda: once(model, frames, seg),
                same=same,
            ),
        ],
        repeats=3,
    )
