"""A stage goes on with another number of workers than wrote its state."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import two_workers
from torch import multiprocessing

from pipeline.errors import UserError
from training.engine import Engine, join_group, prepare_process
from training.stage.other_workers import universal
from training.stage.saved_state import damage, seal

FROZEN_TOWERS = ("connector", "regions", "language", "seg_head", "sam_decoder")
PASSES = [(rank, turn) for rank in range(2) for turn in range(two_workers.PASSES)]
SAVED_AT = 2  # of three steps


def run(rank: int, workers: int, zero: int, resumed: str, saved: str, weights: str) -> None:
    """One worker of a training of a few workers: from a state or the beginning, to a state or the end."""
    os.environ |= {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": str(workers)}
    prepare_process(use_gpu=False, threads=1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{weights}.meet",
        rank=rank,
        world_size=workers,
        timeout=timedelta(minutes=3),
    )
    join_group(use_gpu=False)
    stage = two_workers.stage(FROZEN_TOWERS, zero_stage=zero, workers=workers)
    engine = Engine(two_workers.new_model(), stage, total_steps=two_workers.STEPS)
    first = engine.load(Path(resumed))["step"] if resumed else 0
    own = PASSES[rank::workers] if workers != 2 else [one for one in PASSES if one[0] == rank]
    for step in range(first, SAVED_AT if saved else two_workers.STEPS):
        losses = (two_workers.loss(engine, of, step, turn) for of, turn in own)
        engine.step(step, losses, [len(own)] * len(own))
    if saved:
        engine.save(Path(saved), {"step": SAVED_AT})
    state = engine.state()
    if rank == 0:
        torch.save(state, weights)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("zero", [2, 3])
def test_a_state_of_two_workers_is_that_of_one_and_of_four(tmp_path: Path, zero: int) -> None:
    """Catches moments or counts of steps that are lost, shared or of another weight."""

    def go(workers: int, name: str, *, resumed: str = "", saved: str = "") -> dict[str, torch.Tensor]:
        places = [str(tmp_path / one) if one else "" for one in (resumed, saved, f"{name}.pt")]
        multiprocessing.spawn(run, (workers, zero, *places), nprocs=workers)
        return torch.load(places[2])

    before = go(2, "before", saved="two")
    expected = go(2, "two", resumed="two")
    assert max(float((expected[name] - before[name]).abs().max()) for name in expected) > 1e-4
    for workers in (1, 4):
        actual = go(workers, f"after{workers}", resumed="two")
        assert actual.keys() == expected.keys()
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)
    go(1, "one", saved="one")
    torch.testing.assert_close(go(2, "back", resumed="one"), expected, atol=1e-6, rtol=0)


def test_a_state_that_cannot_be_converted_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"cut")
    with (
        pytest.raises(UserError, match=r"cannot be converted to another number of workers: .*Error"),
        universal(tmp_path / "state"),
    ):
        pass


@pytest.mark.parametrize("readers", [1, 2, 3, 5])
def test_any_number_of_workers_finds_the_damage_of_every_part(tmp_path: Path, readers: int) -> None:
    for rank in range(3):
        part = tmp_path / f"part{rank}"
        part.mkdir()
        (part / f"{rank}.pt").write_text(f"weights {rank}")
        seal(part, rank, workers=3)
        for file in part.iterdir():
            file.rename(tmp_path / file.name)
        part.rmdir()

    def found() -> list[str]:
        return [text for rank in range(readers) if (text := damage(tmp_path, rank, readers))]

    assert found() == []
    (tmp_path / "2.pt").write_text("weights x")
    assert found() == ["2.pt does not have the content that was written"]
    (tmp_path / "2.pt").unlink()
    (tmp_path / "digests-2.json").unlink()
    assert found() == ["digests-2.json is missing"]
