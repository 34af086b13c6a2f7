"""Region encoder: what lies under an object's masks becomes one to four tokens of the language model.

Mask pooling as in VideoRefer (arXiv:2501.00599); frames of one object are merged by adjacent similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def on_grid(masks_Phw: Tensor, grid: int) -> Tensor:
    """Which patches [P, N] each mask covers: any share of a patch, after bilinear resizing, counts."""
    small = F.interpolate(masks_Phw[:, None].float(), (grid, grid), mode="bilinear", align_corners=False)
    return (small > 0).flatten(1)


def pool_under_masks(patches_KND: Tensor, covered_PN: Tensor, frame_P: Tensor) -> Tensor:
    """Mean feature [P, D] under each mask on its frame; zeros where a mask covers no patch at all.

    ``frame_P`` says on which of the K frames a mask lies. The frames' features are read where they are: the
    masks of one frame are one matrix product, and nothing is copied for each mask.
    """
    frames = len(patches_KND)
    counts = frame_P.bincount(minlength=frames)
    order = frame_P.argsort(stable=True)
    # The place of each mask among those of its frame.
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[frame_P[order]]
    weights = patches_KND.new_zeros(frames, int(counts.max()), patches_KND.shape[1])
    weights[frame_P, place] = covered_PN.to(weights.dtype)
    summed = torch.bmm(weights, patches_KND)[frame_P, place]
    return summed / (covered_PN.sum(1, keepdim=True).to(summed.dtype) + 1e-8)


def merge_adjacent(vectors_PD: Tensor, lengths: Sequence[int], limit: int) -> tuple[Tensor, list[int]]:
    """Means of runs of like neighbours, in order, and how many each region has: at most ``limit``.

    ``vectors_PD`` holds one region after the other, ``lengths`` how many vectors each has. In a region of
    n vectors, with r = n - limit, the threshold is the r-th largest cosine similarity of a neighbour pair; a
    run ends where the similarity to the next vector is below it. Ties can leave fewer than ``limit`` runs. A
    region of at most ``limit`` vectors stays as it is. All regions are merged at once.
    """
    if max(lengths) <= limit:
        return vectors_PD, list(lengths)
    stops, sizes = _run_stops(_likeness(vectors_PD), np.array(lengths), limit)
    starts = np.append(0, stops[:-1])
    counts = stops - starts
    where = vectors_PD.device
    # A bag is a run, and each of its n vectors counts 1/n: one pass makes all means. In float32: of many
    # bfloat16 vectors, the last ones would hardly count.
    means = F.embedding_bag(
        torch.arange(len(vectors_PD), device=where),
        vectors_PD.float(),
        torch.from_numpy(starts).to(where),
        per_sample_weights=torch.from_numpy((1 / counts).astype(np.float32).repeat(counts)).to(where),
        mode="sum",
    )
    return means.to(vectors_PD.dtype), sizes


def _likeness(vectors_PD: Tensor) -> np.ndarray:
    """Cosine similarity [P - 1] of each vector to the next, of equal ones exactly 1.

    On the host on every device, so that the same vectors are merged alike everywhere; NumPy hands a row to
    BLAS where torch would write the products out first.
    """
    x = vectors_PD.detach().float().cpu().numpy()
    square = np.vecdot(x, x).astype(np.float64)
    return np.vecdot(x[:-1], x[1:]) / np.sqrt(np.maximum(square[:-1] * square[1:], 1e-16))


def _run_stops(likeness: np.ndarray, length_R: np.ndarray, limit: int) -> tuple[np.ndarray, list[int]]:
    """Where each run stops, counted through the vectors of all regions, and how many runs each region has."""
    place = np.arange(length_R.max())
    last = place == length_R[:, None] - 1  # a region's last vector has no neighbour and ends a run
    inside = place < length_R[:, None]
    # A row for each region. Missing entries count as most similar, so that the (n - limit)-th largest of
    # n - 1 has the index limit - 1 from below, and is infinite where nothing is too many.
    similar = np.full(inside.shape, np.inf)
    similar[inside] = np.append(likeness, np.inf)
    similar[last] = np.inf
    threshold = np.partition(similar, limit - 1, axis=1)[:, limit - 1, None]
    ends = (similar < threshold) | last
    return np.flatnonzero(ends[inside]) + 1, ends.sum(1).tolist()


class RegionEncoder(nn.Module):
    """Patch tokens and masks of annotated frames to region tokens."""

    def __init__(self, vision_width: int, width: int, tokens_per_region: int) -> None:
        super().__init__()
        self.limit = tokens_per_region
        self.mlp = nn.Sequential(nn.Linear(vision_width, width), nn.GELU(), nn.Linear(width, width))

    def forward(
        self,
        patches_KND: Tensor,
        counts: Sequence[int],
        masks: Sequence[Tensor],
        frame_indices: Sequence[Sequence[Sequence[int]]],
    ) -> list[list[Tensor]]:
        """Tokens [m, D], 1 <= m <= limit, of every region of every sample.

        ``patches_KND``: the patches of all samples' annotated frames, one sample after the other;
        ``counts``: how many of them each sample has; ``masks``: per sample [pairs, h, w], one row per
        (region, frame) in the order of ``frame_indices[sample][region]``.

        Raises ValueError if masks and indices do not fit together.
        """
        frames: list[int] = []
        covered: list[Tensor] = []
        grid = int(patches_KND.shape[1] ** 0.5)
        for sample, (start, pair_masks, regions) in enumerate(
            zip(accumulate(counts, initial=0), masks, frame_indices, strict=False)
        ):
            flat = [start + frame for region in regions for frame in region]
            if len(flat) != len(pair_masks) or not all(regions):
                raise ValueError(
                    f"sample {sample} of the batch: {len(pair_masks)} region masks for regions on"
                    f" {[len(r) for r in regions]} frames; each region needs one mask for each of its frames"
                )
            if flat:
                frames += flat
                covered.append(on_grid(pair_masks, grid))
        if not frames:
            return [[] for _ in frame_indices]
        frame_P = torch.tensor(frames, device=patches_KND.device)
        pooled_PD = pool_under_masks(patches_KND, torch.cat(covered), frame_P)
        lengths = [len(region) for regions in frame_indices for region in regions]
        merged, sizes = merge_adjacent(pooled_PD, lengths, self.limit)
        tokens = iter(self.mlp(merged).split(sizes))
        return [[next(tokens) for _ in regions] for regions in frame_indices]
