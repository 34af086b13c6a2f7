"""Region encoder: what lies under an object's masks becomes one to four tokens of the language model.

Mask pooling as in VideoRefer (arXiv:2501.00599); frames of one object are merged by adjacent similarity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pool_under_masks(patches_PND: Tensor, masks_Phw: Tensor) -> Tensor:
    """Mean feature [P, D] under each mask, on the patch grid; zeros where a mask covers no patch at all.

    A mask is resized bilinearly to the grid and covers every patch with any share of it.
    """
    grid = int(patches_PND.shape[1] ** 0.5)
    small = F.interpolate(masks_Phw[:, None].float(), (grid, grid), mode="bilinear", align_corners=False)
    weights = (small > 0).flatten(1).to(patches_PND.dtype)
    summed = torch.einsum("pnd,pn->pd", patches_PND, weights)
    return summed / (weights.sum(1, keepdim=True) + 1e-8)


def merge_adjacent(vectors_nD: Tensor, limit: int) -> Tensor:
    """At most ``limit`` means of runs of like neighbours, in order.

    With r = n - limit, the threshold is the r-th largest cosine similarity of a neighbour pair; a run ends
    where the similarity to the next vector is below it. Ties can leave fewer than ``limit`` runs.
    """
    surplus = vectors_nD.shape[0] - limit
    if surplus <= 0:
        return vectors_nD
    similarity = F.cosine_similarity(vectors_nD[:-1].float(), vectors_nD[1:].float(), dim=-1)
    threshold = similarity.topk(surplus).values[-1]
    run = F.pad((similarity < threshold).long().cumsum(0), (1, 0))
    counts = run.bincount()
    sums = vectors_nD.new_zeros(len(counts), vectors_nD.shape[1]).index_add(0, run, vectors_nD)
    return sums / counts.to(sums.dtype)[:, None]


class RegionEncoder(nn.Module):
    """Patch tokens and masks of annotated frames to region tokens."""

    def __init__(self, vision_width: int, width: int, tokens_per_region: int) -> None:
        super().__init__()
        self.limit = tokens_per_region
        self.mlp = nn.Sequential(nn.Linear(vision_width, width), nn.GELU(), nn.Linear(width, width))

    def forward(
        self,
        patches_KND: Sequence[Tensor],
        masks: Sequence[Tensor],
        frame_indices: Sequence[Sequence[Sequence[int]]],
    ) -> list[list[Tensor]]:
        """Tokens [m, D], 1 <= m <= limit, of every region of every sample.

        ``patches_KND``: per sample, the patches of its annotated frames; ``masks``: per sample [pairs, h, w],
        one row per (region, frame) in the order of ``frame_indices[sample][region]``.

        Raises ValueError if masks and indices do not fit together.
        """
        merged: list[Tensor] = []
        for sample, (patches, pair_masks, regions) in enumerate(
            zip(patches_KND, masks, frame_indices, strict=True)
        ):
            flat = [frame for region in regions for frame in region]
            if len(flat) != len(pair_masks) or not all(regions):
                raise ValueError(
                    f"sample {sample} of the batch: {len(pair_masks)} region masks for regions on"
                    f" {[len(r) for r in regions]} frames; each region needs one mask for each of its frames"
                )
            if flat:
                pooled = pool_under_masks(patches[torch.tensor(flat, device=patches.device)], pair_masks)
                merged += [merge_adjacent(v, self.limit) for v in pooled.split([len(r) for r in regions])]
        if not merged:
            return [[] for _ in frame_indices]
        tokens = iter(self.mlp(torch.cat(merged)).split([len(m) for m in merged]))
        return [[next(tokens) for _ in regions] for regions in frame_indices]
