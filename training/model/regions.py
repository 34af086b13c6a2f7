"""Region encoder: the features under an object's masks become one to four tokens of the language model.

Mask pooling as in VideoRefer (arXiv:2501.00599); similar adjacent frames of an object are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def on_grid(masks_Phw: Tensor, grid: int) -> Tensor:
    """Which patches [P, N] each mask covers, at least in part, after bilinear resizing."""
    small = F.interpolate(masks_Phw[:, None].float(), (grid, grid), mode="bilinear", align_corners=False)
    return (small > 0).flatten(1)


def pool_under_masks(patches_KND: Tensor, covered_PN: Tensor, frame_P: Tensor) -> Tensor:
    """Mean feature [P, D] under each mask on its frame; zeros where a mask covers no patch at all.

    ``frame_P``: the frame (of K) of each mask. One matrix product per frame; the features are not copied for
    each mask.
    """
    frames = len(patches_KND)
    counts = frame_P.bincount(minlength=frames)
    order = frame_P.argsort(stable=True)
    # The position of each mask among those of its frame.
    position = torch.empty_like(order)
    earlier_P = (counts.cumsum(0) - counts)[frame_P[order]]
    position[order] = torch.arange(len(order), device=order.device) - earlier_P
    weights = patches_KND.new_zeros(frames, int(counts.max()), patches_KND.shape[1])
    weights[frame_P, position] = covered_PN.to(weights.dtype)
    summed = torch.bmm(weights, patches_KND)[frame_P, position]
    return summed / (covered_PN.sum(1, keepdim=True).to(summed.dtype) + 1e-8)


def merge_adjacent(vectors_PD: Tensor, lengths: Sequence[int], limit: int) -> tuple[Tensor, list[int]]:
    """Means of runs of similar neighbours, in order, and the number of runs of each region: at most
    ``limit``.

    ``vectors_PD`` holds the regions one after another, ``lengths`` their numbers of vectors. In a region of n
    vectors, with r = n - limit, the threshold is the r-th largest cosine similarity of adjacent vectors; a
    run ends where the similarity to the next vector is below it. Ties can give fewer than ``limit`` runs. A
    region of at most ``limit`` vectors is unchanged. All regions are merged in one operation.
    """
    if max(lengths) <= limit:
        return vectors_PD, list(lengths)
    stops, sizes = _run_stops(_similarity(vectors_PD), np.array(lengths), limit)
    starts = np.append(0, stops[:-1])
    counts = stops - starts
    device = vectors_PD.device
    # Each run is a bag with weights 1/n, so one call computes all means. In float32, because a bfloat16 sum
    # of many vectors would lose the last ones to rounding.
    means = F.embedding_bag(
        torch.arange(len(vectors_PD), device=device),
        vectors_PD.float(),
        torch.from_numpy(starts).to(device),
        per_sample_weights=torch.from_numpy((1 / counts).astype(np.float32).repeat(counts)).to(device),
        mode="sum",
    )
    return means.to(vectors_PD.dtype), sizes


def _similarity(vectors_PD: Tensor) -> np.ndarray:
    """Cosine similarity [P - 1] of each vector to the next; exactly 1 for equal ones.

    Always computed on the host, so that the same vectors are merged in the same way on every device. NumPy
    uses a BLAS dot product where torch would materialise the products.
    """
    x = vectors_PD.detach().float().cpu().numpy()
    square = np.vecdot(x, x).astype(np.float64)
    return np.vecdot(x[:-1], x[1:]) / np.sqrt(np.maximum(square[:-1] * square[1:], 1e-16))


def _run_stops(similarity: np.ndarray, length_R: np.ndarray, limit: int) -> tuple[np.ndarray, list[int]]:
    """The end of each run, as an index into the vectors of all regions, and the number of runs per region."""
    column = np.arange(length_R.max())
    last = column == length_R[:, None] - 1  # a region's last vector has no neighbour and ends a run
    inside = column < length_R[:, None]
    # One row per region. Missing entries are infinite, so the (n - limit)-th largest of n - 1 is the
    # limit-th smallest, and it is infinite for a region of at most ``limit`` vectors.
    rows = np.full(inside.shape, np.inf)
    rows[inside] = np.append(similarity, np.inf)
    rows[last] = np.inf
    threshold = np.partition(rows, limit - 1, axis=1)[:, limit - 1, None]
    ends = (rows < threshold) | last
    return np.flatnonzero(ends[inside]) + 1, ends.sum(1).tolist()


class RegionEncoder(nn.Module):
    """Maps patch tokens and masks of annotated frames to region tokens."""

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

        Raises ValueError if masks and indices do not match.
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
