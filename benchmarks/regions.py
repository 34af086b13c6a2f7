"""Region tokens of several objects: pooled and merged in batch, or one mask and one vector at a time."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.compare import Pair, main
from training.model.regions import merge_adjacent, pool_under_masks

_OBJECTS, _FRAMES, _PATCHES, _WIDTH, _LIMIT = 8, 32, 729, 1152, 4


def merged_one_by_one(vectors_PD: Tensor, lengths: list[int], limit: int) -> Tensor:
    """The rule as a loop over each region's vectors that ends a run at every dissimilar neighbour."""
    out: list[Tensor] = []
    for region in vectors_PD.split(lengths):
        surplus = len(region) - limit
        if surplus <= 0:
            out += region
            continue
        similarities = [float(F.cosine_similarity(a, b, dim=0)) for a, b in pairwise(region)]
        threshold = sorted(similarities, reverse=True)[surplus - 1]
        run = [region[0]]
        for vector, similarity in zip(region[1:], similarities, strict=True):
            if similarity < threshold:
                out.append(torch.stack(run).mean(0))
                run = []
            run.append(vector)
        out.append(torch.stack(run).mean(0))
    return torch.stack(out)


def pooled_one_by_one(patches_KND: Tensor, covered_PN: Tensor, frame_P: Tensor) -> Tensor:
    """The mean feature under every mask in turn."""
    return torch.stack(
        [
            (patches_KND[frame] * covered[:, None]).sum(0) / (covered.sum() + 1e-8)
            for frame, covered in zip(frame_P.tolist(), covered_PN, strict=True)
        ]
    )


def same(a: Tensor, b: Tensor) -> bool:
    """The same tokens."""
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5, rtol=1e-4)


if __name__ == "__main__":
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    lengths = [_FRAMES] * _OBJECTS
    vectors = torch.randn(sum(lengths), _WIDTH, generator=random)
    patches = torch.randn(_FRAMES, _PATCHES, _WIDTH, generator=random)
    covered = torch.rand(sum(lengths), _PATCHES, generator=random) < 0.1
    frame = torch.arange(_FRAMES).repeat(_OBJECTS)
    main(
        "regions",
        f"{_OBJECTS} objects on {_FRAMES} frames, {_PATCHES} patches of width {_WIDTH}, at most {_LIMIT} "
        "tokens for an object, one thread. Plain: a loop over vectors, and over masks. The aim of merging is "
        "20; of pooling there is none. In the second row each call finds caches that the loop has filled.",
        [
            Pair(
                what="merging",
                plain=lambda: merged_one_by_one(vectors, lengths, _LIMIT),
                ours=lambda: merge_adjacent(vectors, lengths, _LIMIT)[0],
                same=same,
            ),
            Pair(
                what="merging, one call at a time between calls of the loop",
                plain=lambda: merged_one_by_one(vectors, lengths, _LIMIT),
                ours=lambda: merge_adjacent(vectors, lengths, _LIMIT)[0],
                same=same,
                once=True,
            ),
            Pair(
                what="pooling and merging",
                plain=lambda: merged_one_by_one(pooled_one_by_one(patches, covered, frame), lengths, _LIMIT),
                ours=lambda: merge_adjacent(pool_under_masks(patches, covered, frame), lengths, _LIMIT)[0],
                same=same,
            ),
        ],
        repeats=15,
    )
