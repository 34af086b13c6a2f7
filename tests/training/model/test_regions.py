"""Pooling under masks and merging of neighbours."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from training.model.regions import RegionEncoder, merge_adjacent, on_grid, pool_under_masks


def _by_definition(x: torch.Tensor, limit: int) -> torch.Tensor:
    """The rule step by step, one vector after the other."""
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
    """Catches a threshold of another rank, and a run that ends at an equal similarity."""
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(count))
    merged, sizes = merge_adjacent(x, [count], 4)
    assert sizes == [len(merged)] == [min(count, 4)]
    torch.testing.assert_close(merged, _by_definition(x, 4))


def test_regions_are_merged_in_a_batch_as_they_are_alone():
    """Catches: a threshold of one region that is used for another, and runs across regions."""
    lengths = [5, 1, 4, 11, 2, 32, 6, 4]
    x = torch.randn(sum(lengths), 6, generator=torch.Generator().manual_seed(1))
    x[4:6] = x[3]  # the end of one region is the whole of the next
    merged, sizes = merge_adjacent(x, lengths, 4)
    for region, made in zip(x.split(lengths), merged.split(sizes), strict=True):
        torch.testing.assert_close(made, _by_definition(region, 4))


def test_regions_of_at_most_four_tokens_stay_unchanged():
    x = torch.ones(7, 3)
    merged, sizes = merge_adjacent(x, [4, 3], 4)
    assert merged is x
    assert sizes == [4, 3]


def test_ties_leave_fewer_than_the_limit():
    assert merge_adjacent(torch.ones(7, 3), [7], 4)[1] == [1]
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    # Similarities 1, 0, 1, 0, 1: the threshold is the largest, which three pairs reach.
    merged, _ = merge_adjacent(torch.stack([a, a, b, b, a, a]), [6], 4)
    torch.testing.assert_close(merged, torch.stack([a, b, a]))


def test_a_run_is_replaced_by_its_mean():
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]])
    torch.testing.assert_close(merge_adjacent(x, [5], 4)[0][0], torch.tensor([2.0, 0.0]))


def test_long_runs_in_bf16_have_the_mean_of_fp32():
    """Catches a sum that is kept in bf16, in which the 257th of equal vectors changes nothing."""
    generator = torch.Generator().manual_seed(4)
    x = (torch.randn(600, 6, generator=generator) * 0.01 + 1).bfloat16()
    merged, sizes = merge_adjacent(x, [600], 2)
    expected, expected_sizes = merge_adjacent(x.float(), [600], 2)
    assert sizes == expected_sizes
    assert merged.dtype == torch.bfloat16
    assert torch.equal(merged, expected.bfloat16())


def test_gradients_flow_through_merging():
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(2), requires_grad=True)
    merge_adjacent(x, [6, 3], 4)[0].sum().backward()
    # A run of n shares a gradient of 1; in all there are as many as tokens.
    torch.testing.assert_close(x.grad.sum(0), torch.full((6,), 7.0))


def test_a_partly_covered_patch_is_pooled():
    patches = torch.arange(4.0).reshape(1, 4, 1).expand(1, 4, 2)
    mask = torch.zeros(2, 4, 4)
    mask[0, 0, 0] = 1
    pooled = pool_under_masks(patches, on_grid(mask, 2), torch.tensor([0, 0]))
    torch.testing.assert_close(pooled[:1], patches[:, 0])
    assert pooled[1].abs().max() == 0


def test_masks_of_any_order_are_pooled_on_their_own_frames():
    """Catches a mask that is pooled on another mask's frame, or divided by another's area."""
    generator = torch.Generator().manual_seed(3)
    patches, masks = (
        torch.randn(3, 9, 5, generator=generator),
        torch.rand(7, 6, 6, generator=generator) > 0.6,
    )
    frames = torch.tensor([2, 0, 2, 2, 1, 0, 2])
    covered = on_grid(masks, 3)
    together = pool_under_masks(patches, covered, frames)
    for k in range(7):
        torch.testing.assert_close(together[k], patches[frames[k]][covered[k]].mean(0))


def test_region_tokens_are_grouped_by_sample_and_region():
    """Catches frames that are counted from the batch's start instead of the sample's."""
    encoder = RegionEncoder(6, 8, 4)
    patches = torch.randn(7, 4, 6)
    masks = [torch.ones(8, 5, 5), torch.zeros(0, 5, 5), torch.ones(1, 9, 7)]
    together = encoder(patches, [6, 0, 1], masks, [[[0, 1, 2, 3, 4, 5], [2, 4]], [], [[0]]])
    assert [[len(t) for t in sample] for sample in together] == [[4, 2], [], [1]]
    alone = encoder(patches[6:], [1], masks[2:], [[[0]]])
    torch.testing.assert_close(together[2][0], alone[0][0])
    first = encoder(patches[:6], [6], masks[:1], [[[0, 1, 2, 3, 4, 5], [2, 4]]])
    torch.testing.assert_close(together[0][1], first[0][1])


def test_masks_that_do_not_fit_the_indices_are_refused():
    encoder = RegionEncoder(6, 8, 4)
    with pytest.raises(ValueError, match="2 region masks"):
        encoder(torch.randn(3, 4, 6), [3], [torch.ones(2, 5, 5)], [[[0, 1, 2]]])
