"""The estimate of weights, gradients, optimizer and saved states against what DeepSpeed holds and writes."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import two_workers
from torch import multiprocessing

from pipeline.estimate.disk import disk
from pipeline.estimate.memory import held_elements, memory
from pipeline.estimate.parameters import part_sizes
from training.engine import Engine, join_group, prepare_process

PUBLISHED = ("connector", "regions", "language", "seg_head", "sam_decoder")
STAGES = {
    zero_stage: two_workers.stage(PUBLISHED, zero_stage=zero_stage, gradient_checkpointing=False)
    for zero_stage in (1, 2, 3)
}
FP32 = 4


def _count(rank: int, folder: Path) -> None:
    """One of two workers: what it holds after a step, in elements, and the bytes of its part of a state."""
    os.environ |= {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": "2"}
    prepare_process(use_gpu=False, threads=1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2, timeout=timedelta(minutes=9)
    )
    join_group(use_gpu=False)
    found = {}
    for zero_stage, stage in STAGES.items():
        engine = Engine(two_workers.new_model(), stage, total_steps=two_workers.STEPS)
        gradients = _recorded_gradients(engine)
        losses = (two_workers.loss(engine, rank, 0, turn) for turn in range(two_workers.PASSES))
        engine.step(0, losses, [two_workers.PASSES] * two_workers.PASSES)
        saved = folder / f"state-{zero_stage}-{rank}"
        engine.save(saved, {"step": 1})
        files = (file for file in saved.rglob("*") if file.is_file())
        found[zero_stage] = {
            "weights": _weights(engine, zero_stage),
            "optimizer": _optimizer(engine, zero_stage),
            "gradients": gradients[0],
            "state": sum(file.stat().st_size for file in files),
        }
        torch.distributed.barrier()
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def _weights(engine: Engine, zero_stage: int) -> int:
    parameters = list(engine.module.parameters())
    if zero_stage == 3:
        return sum(p.ds_tensor.numel() + p.data.numel() for p in parameters)
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in parameters}
    return sum(storages.values()) // FP32


def _optimizer(engine: Engine, zero_stage: int) -> int:
    """Elements of fp32 weights and of both moments."""
    zero: Any = engine._engine.optimizer
    masters = zero.fp32_partitioned_groups_flat if zero_stage == 3 else zero.single_partition_of_fp32_groups
    moments = [state[key] for state in zero.optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    return sum(t.numel() for t in (*masters, *moments))


def _recorded_gradients(engine: Engine) -> list[int]:
    """Elements of the gradients just before they are reduced; filled by the next step."""
    found: list[int] = []
    for name in ("_flush_coalesced_reduction_zero12", "_flush_coalesced_reduction_zero3"):
        flush = getattr(engine._engine, name)

        def recording(optimizer: Any, flush: Any = flush) -> None:
            found.append(sum(p.grad.numel() for p in engine._trained if p.grad is not None))
            flush(optimizer)

        setattr(engine._engine, name, recording)
    return found


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, int]]]:
    folder = tmp_path_factory.mktemp("held")
    multiprocessing.spawn(_count, (folder,), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("zero_stage", STAGES)
def test_two_workers_hold_and_save_what_is_estimated(
    counted: list[dict[str, dict[str, int]]], zero_stage: int
) -> None:
    """Weights, gradients and optimizer to the element; the files of a state within 3%."""
    config, stage = two_workers.config(), STAGES[zero_stage]
    need = memory(config, stage)
    held = held_elements(part_sizes(config), stage.train, 2, zero_stage)
    for worker in counted:
        found = worker[str(zero_stage)]
        assert found["weights"] == held.weights
        assert found["optimizer"] * FP32 == need.optimizer
        assert found["gradients"] * FP32 == need.gradients
    written = sum(worker[str(zero_stage)]["state"] for worker in counted)
    assert written == pytest.approx(disk(config, stage).state, rel=0.03)
