"""Ctrl-C in a terminal during each kind of step: it ends in seconds, and a new run gives the same result."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.jobs.sender import send_now
from tests.integration.killing import NEEDS_PROC, REACHED_S
from tests.integration.mini import environment, read_mini, ufvideo, until, write_mini
from tests.pipeline.terminal import CTRL_C, Terminal, processes_with

SOON_S = 5.0
MARK = "UFVIDEO_TEST_MARK"
STEPS = 8
MORE = (
    *(f"stages.{number}.steps={STEPS}" for number in (0, 1)),
    "demo.charades_sta_items=24",  # several parts of predictions, so that a stop falls between two of them
    "evaluation.checkpoints=[init]",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4000), NEEDS_PROC]


def stop_when(folder: Path, reached: Callable[[], object], what: str) -> None:
    """Runs the plan in a terminal, presses Ctrl-C at that moment, and checks that all its processes end."""
    mark = uuid.uuid4().hex
    terminal = Terminal(folder, ["-m", "pipeline", "run", "mini.yaml"], environment(**{MARK: mark}))

    def there() -> bool:
        assert terminal.running(), f"ended before {what}:\n{terminal.text[-3000:]}"
        return bool(reached())

    until(there, REACHED_S, what)
    terminal.press(CTRL_C)
    seconds = terminal.wait(60)
    left = processes_with(mark)
    assert terminal.exit_code == 130, terminal.text[-3000:]
    assert not left, f"left after {seconds:.1f} s: {left}"
    assert seconds < SOON_S


def runs(folder: Path) -> dict[str, str]:
    """MLflow's runs by step, and that of the plan, with their state, once everything is sent."""
    outcome = send_now(read_mini(folder / "mini.yaml"))
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 0, "")
    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute("select name, status from runs").fetchall()
    return {name.rpartition("-")[0]: state for name, state in rows}


def test_a_run_that_was_stopped_three_times_ends_in_the_same_artifacts(tmp_path: Path) -> None:
    untouched, folder = tmp_path / "untouched", tmp_path / "stopped"
    for place in (untouched, folder):
        place.mkdir()
        write_mini(place, str(place / "store"), *MORE)
    store = folder / "store"

    stop_when(folder, lambda: list(store.glob("prepare/*/data/*-00000.parquet")), "the first shard")
    snapshots = "stage1/*/run/checkpoint_manager_snapshot.json"
    stop_when(folder, lambda: list(store.glob(snapshots)), "the first saved state")
    assert runs(folder)["stage1"] == "KILLED"
    stop_when(folder, lambda: list(store.glob("answers/*/*/*.parquet")), "the first part")
    assert "RUNNING" not in runs(folder).values()

    for place in (folder, untouched):
        done = ufvideo(place, "run", "mini.yaml", timeout_s=REACHED_S)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert set(runs(folder).values()) == {"FINISHED"}
    found, clean = (survey(read_mini(place / "mini.yaml")).artifacts for place in (folder, untouched))
    digests = [
        {n: a and a.record.digest for n, a in made.items() if n != "report"} for made in (found, clean)
    ]
    assert digests[0] == digests[1], "the stopped run ends in the same artifacts"
    stage = found["stage1"]
    assert stage is not None
    assert 0 < stage.record.summary["resumed_at"] < STEPS, "training resumed from the saved state"
