"""ZeRO-2 and ZeRO-3 on two workers; only one of them has regions and masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import two_workers
from torch import multiprocessing

from training.model.ufvideo import UFVideo

PUBLISHED = ("connector", "regions", "language", "seg_head", "sam_decoder")


SETTINGS = {
    "zero2": two_workers.stage(two_workers.PARTS, zero_stage=2),
    "zero3": two_workers.stage(two_workers.PARTS, zero_stage=3),
    "zero3_frozen": two_workers.stage(
        PUBLISHED, zero_stage=3, gradient_checkpointing=("language", "connector")
    ),
}


@pytest.fixture(scope="module")
def alone() -> dict[tuple[str, ...], dict[str, torch.Tensor]]:
    """Weights after the same steps without ZeRO."""
    torch.set_num_threads(1)
    return {parts: two_workers.weights_without_zero(parts) for parts in (two_workers.PARTS, PUBLISHED)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have written the results of each setting."""
    folder = tmp_path_factory.mktemp("two")
    multiprocessing.spawn(two_workers.train_settings, (folder, SETTINGS), nprocs=2)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_workers_with_and_without_masks_and_regions_reduce_the_same_gradients(
    results: Path, alone, setting: str
) -> None:
    """Fails if gradients of different parameters are mixed, and (hanging) if a worker skips a module."""
    parts = tuple(SETTINGS[setting].train)
    one, other = (torch.load(results / f"{setting}-{rank}.pt") for rank in range(2))
    assert one["reduced"] == other["reduced"]
    model = two_workers.new_model()
    model.set_trainable(parts)
    trained = sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert one["reduced"] == [trained] * two_workers.STEPS

    before, expected, actual = model.state_dict(), alone[parts], one["state"]
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
    moved = {name for name in expected if (expected[name] - before[name]).abs().max() > 1e-4}
    assert len(moved) > 0.9 * len(trained)


@pytest.mark.filterwarnings("ignore:.*ackward hook")  # of the test's own hooks
def test_uniform_passes_run_the_same_modules_and_give_the_same_losses() -> None:
    """Forward and backward passes enter the modules in the same order for every batch."""
    torch.set_num_threads(1)
    plain, uniform_passes = two_workers.new_model().train(), two_workers.new_model().train()
    uniform_passes.uniform_passes = True
    uniform_passes.set_trainable(two_workers.PARTS)
    orders = []
    for rank in range(2):
        for turn in range(two_workers.PASSES):
            with torch.no_grad():
                expected = two_workers.loss(plain, rank, 0, turn)
            order, actual = _module_order_and_loss(uniform_passes, rank, turn)
            torch.testing.assert_close(actual, expected)
            orders.append(order)
    assert all(order == orders[0] for order in orders)
    assert {"back regions.mlp.2", "back segmentation.sam.mask_decoder.conv_s0", "connector.s1.b1"} <= set(
        orders[0]
    )


def _module_order_and_loss(model: UFVideo, rank: int, turn: int) -> tuple[list[str], torch.Tensor]:
    order: list[str] = []
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, n=name: order.append(n)))
        if any(True for _ in module.parameters(recurse=False)):
            hooks.append(module.register_full_backward_pre_hook(lambda *_, n=name: order.append(f"back {n}")))
    actual = two_workers.loss(model, rank, 0, turn)
    actual.backward()
    for hook in hooks:
        hook.remove()
    return order, actual.detach()
