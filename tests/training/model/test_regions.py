"""Pooling under masks and merging of neighbours."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from training.model.regions import RegionEncoder, merge_adjacent, pool_under_masks


def _by_definition(x: torch.Tensor, limit: int) -> torch.Tensor:
    """The rule told step by step, one vector after the other."""
    surplus = len(x) - limit
    if surplus <= 0:
        return x
    similar = [torch.cosine_similarity(a, b, dim=0) for a, b in pairwise(x)]
    threshold = sorted(similar, reverse=True)[surplus - 1]
    runs, run = [], [x[0]]
    for vector, likeness in zip(x[1:], similar, strict=True):
        if likeness < threshold:
            runs.append(torch.stack(run).mean(0))
            run = []
        run.append(vector)
    return torch.stack([*runs, torch.stack(run).mean(0)])


@pytest.mark.parametrize("count", range(1, 12))
def test_merging_follows_its_definition(count: int):
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(count))
    merged = merge_adjacent(x, 4)
    assert len(merged) == min(count, 4)
    torch.testing.assert_close(merged, _by_definition(x, 4))


def test_four_and_fewer_stay_as_they_are():
    x = torch.ones(4, 3)
    assert merge_adjacent(x, 4) is x


def test_ties_leave_fewer_than_the_limit():
    assert len(merge_adjacent(torch.ones(7, 3), 4)) == 1
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    # Similarities 1, 0, 1, 0, 1: the threshold is the largest, which three pairs reach.
    merged = merge_adjacent(torch.stack([a, a, b, b, a, a]), 4)
    torch.testing.assert_close(merged, torch.stack([a, b, a]))


def test_a_run_is_replaced_by_its_mean():
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    torch.testing.assert_close(merge_adjacent(x, 4)[0], torch.tensor([2.0, 0.0]))


def test_any_share_of_a_patch_counts():
    patches = torch.arange(4.0).reshape(1, 4, 1).expand(1, 4, 2)
    mask = torch.zeros(1, 4, 4)
    mask[0, 0, 0] = 1
    torch.testing.assert_close(pool_under_masks(patches, mask), patches[:, 0])
    assert pool_under_masks(patches, torch.zeros(1, 4, 4)).abs().max() == 0


def test_tokens_come_back_by_sample_and_region():
    encoder = RegionEncoder(6, 8, 4)
    patches = [torch.randn(6, 4, 6), torch.zeros(0, 4, 6), torch.randn(1, 4, 6)]
    masks = [torch.ones(8, 5, 5), torch.zeros(0, 5, 5), torch.ones(1, 9, 7)]
    together = encoder(patches, masks, [[[0, 1, 2, 3, 4, 5], [2, 4]], [], [[0]]])
    assert [[len(t) for t in sample] for sample in together] == [[4, 2], [], [1]]
    alone = encoder(patches[2:], masks[2:], [[[0]]])
    torch.testing.assert_close(together[2][0], alone[0][0])


def test_masks_that_do_not_fit_the_indices_are_refused():
    encoder = RegionEncoder(6, 8, 4)
    with pytest.raises(ValueError, match="2 region masks"):
        encoder([torch.randn(3, 4, 6)], [torch.ones(2, 5, 5)], [[[0, 1, 2]]])
