"""The quarantine table over saved states, and the end of a stage in its folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tiny_corpus import stage

from pipeline.artifacts.curves import CurveRow
from pipeline.storage.location import Location
from training.loop.callback import StageRun, StepOutcome
from training.loop.ending import Quarantine
from training.loop.reporter import LocalReporter
from training.loop.step_sums import StepSums
from training.stage.driver import Driver
from training.stage.stage_end import StageEnd, read_end, write_end


def worker(rank: int, world: int) -> StageRun:
    return StageRun(stage=stage(), model=None, rank=rank, world=world, total_steps=4)  # type: ignore[arg-type]


def test_the_quarantine_of_every_worker_is_kept_whatever_their_number(tmp_path: Path) -> None:
    for rank in range(3):
        callback = Quarantine(LocalReporter(tmp_path))
        rows = [{"step": 0, "key": f"qa/{rank}"}]
        callback.on_step(
            worker(rank, 3), StepOutcome(step=0, sums=StepSums(), lr=0, grad_norm=0, quarantined=rows)
        )
        callback.on_save(worker(rank, 3), 1, tmp_path)
    for world in (1, 2, 4):
        told: list[dict[str, Any]] = []
        for rank in range(world):
            reporter = LocalReporter(tmp_path)
            callback = Quarantine(reporter)
            callback.on_start(worker(rank, world), tmp_path)
            assert reporter.quarantined == callback.rows
            told += callback.rows
        assert sorted(row["key"] for row in told) == ["qa/0", "qa/1", "qa/2"]


def test_an_end_counts_once_its_weights_are_there(tmp_path: Path) -> None:
    out = Location.parse(tmp_path)
    end = StageEnd(digest="w", resumed_at=2, last={"lr": 0.1}, quarantined=({"step": 0, "key": "a"},))
    assert read_end(out) is None
    write_end(out, end)
    assert read_end(out) is None
    (tmp_path / "model").mkdir()
    assert read_end(out) == end
    (tmp_path / "finished.json").write_text('{"digest": "w", "resumed_at": 0, "last": {}, "unsent": []}')
    assert read_end(out) == StageEnd(digest="w", resumed_at=0, last={})


def test_rows_that_were_lost_on_their_way_are_sent_at_the_end() -> None:
    class Recorded:
        def __init__(self) -> None:
            self.steps: list[int] = []

        def log_metrics(self, values: Any, step: int, **_: Any) -> None:
            self.steps.append(step)

    run = Recorded()
    driver = Driver(run, None)  # type: ignore[arg-type]
    driver.receive("row", CurveRow(1, time.time(), {"lr": 0.1}))
    driver.complete([CurveRow(step, time.time(), {"lr": 0.1}) for step in range(3)])
    assert run.steps == [1, 0, 2]
