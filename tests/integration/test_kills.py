"""SIGKILL during preparation, training and evaluation: a new run gives the same result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.dataset.manifest import MANIFEST
from tests.integration.killing import NEEDS_PROC, REACHED_S, kill_when
from tests.integration.mini import read_mini, ufvideo, write_mini

STEPS = 12
MORE = (
    *(f"stages.{number}.steps={STEPS}" for number in (0, 1)),
    "demo.charades_sta_items=24",  # several parts of predictions, so that a kill falls between two of them
    "evaluation.checkpoints=[init, stage2]",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4000),
    NEEDS_PROC,
]


def run_to_the_end(folder: Path) -> subprocess.CompletedProcess[str]:
    done = ufvideo(folder, "run", "mini.yaml", timeout_s=REACHED_S)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def test_a_run_that_was_killed_three_times_finishes_from_its_partial_results(tmp_path: Path) -> None:
    untouched = tmp_path / "untouched"
    untouched.mkdir()
    write_mini(untouched, str(untouched / "store"), *MORE)
    assert ufvideo(untouched, "run", "mini.yaml", "--until", "prepare", timeout_s=REACHED_S).returncode == 0

    folder = tmp_path / "killed"
    folder.mkdir()
    plan = read_mini(write_mini(folder, str(folder / "store"), *MORE))
    store = folder / "store"

    def records(step: str) -> list[Path]:
        return list(store.glob(f"{step}/*/record.json"))

    # The first shard is written; others and the manifest are not.
    kill_when(folder, lambda: list(store.glob("prepare/*/data/*-00000.parquet")), "the first shard")
    assert records("corpora")
    assert not records("prepare")
    assert not list(store.glob(f"prepare/*/{MANIFEST}")), "the kill hit the running step"

    # Ray Train has recorded its first saved state.
    snapshots = "stage1/*/run/checkpoint_manager_snapshot.json"
    kill_when(folder, lambda: list(store.glob(snapshots)), "the first saved state")
    assert records("init")
    assert not records("stage1")
    assert list(store.glob("stage1/*/run/checkpoint_*"))

    parts = "answers/*/*/*.parquet"
    kill_when(folder, lambda: list(store.glob(parts)), "the first part of answers")
    assert records("stage2")
    assert not records("evaluate-init")
    kept = {path: path.stat().st_mtime_ns for path in store.glob(parts)}

    done = run_to_the_end(folder)
    found, clean = survey(plan).artifacts, survey(read_mini(untouched / "mini.yaml")).artifacts
    assert all(found.values())
    prepared, reference = found["prepare"], clean["prepare"]
    assert prepared is not None
    assert reference is not None
    assert prepared.record.digest == reference.record.digest
    stage = found["stage1"]
    assert stage is not None
    assert 0 < stage.record.summary["resumed_at"] < STEPS, "training resumed from the saved state"
    assert not list(store.glob("stage*/*/run")), "saved states are removed when the stage is done"
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "stored answers are kept"
    report = found["report"]
    assert report is not None
    assert (report.location / "table.txt").read_text() in done.stdout
    assert not list(tmp_path.rglob(".tmp-*")), "no partial file is left"
