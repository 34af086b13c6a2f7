"""Ctrl-C, SIGTERM and a closed terminal: a run ends within seconds, nothing stays, and it can be taken up."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.terminal import CTRL_C, Terminal, carriers

REPO = Path(__file__).resolve().parents[2]
SOON_S = 5.0  # so soon a command is to have ended
WAIT_S = 600.0  # a bound for a busy machine, not a time that anything needs
MARK = "UFVIDEO_TEST_MARK"

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")

# Modules that stand where the real steps would. A step waits while the file `wait` names it.
STEPS = """\
import hashlib, sys, time
from pathlib import Path
import pipeline
from pipeline.jobs.step import StepResult, run_step

# What a registry looks for in the package of the same name is still found there.
__path__ = [str(Path(pipeline.__file__).parents[1] / Path(__file__).stem)]

def make(context):
    with context.tracker as run:
        run.log_metrics({"one": 1.0}, step=0)
        (context.out / "data.txt").write_text(context.spec.name)
        if context.spec.name == "report":
            (context.out / "table.txt").write_text("| the table |\\n")
        while Path("wait").exists() and Path("wait").read_text() == context.spec.name:
            time.sleep(0.1)
    made = [a.record.digest for a in context.inputs.values()]
    return StepResult(hashlib.sha256(repr([context.spec.name, made]).encode()).hexdigest(), {"n": 3})

KINDS = ("corpora", "prepare", "init", "stage", "evaluate", "report")
if __name__ == "__main__":
    sys.exit(run_step(Path(__file__).stem, dict.fromkeys(KINDS, make)))
"""

BREAKS = """\
import time
from pipeline.jobs.interrupt import Interrupted, interruptible, leave
try:
    with interruptible(20.0):
        print("ready", flush=True)
        try:
            time.sleep(600)
        finally:
            raise OSError("a display whose terminal is closed")
except Interrupted as stop:
    leave(stop.exit_code)
"""

DEAF = """\
import sys, time
from pipeline.jobs.interrupt import interruptible, leave
with interruptible(1.0):
    print("ready", flush=True)
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            print("swallowed", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path, plan_file: Path) -> Path:
    """A working folder with the plan and the trivial steps."""
    for module in ("datasets_prep", "training", "evaluation"):
        (tmp_path / f"{module}.py").write_text(STEPS)
    return tmp_path


def environment(mark: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "UFVIDEO_"))}
    return kept | {"PYTHONPATH": str(REPO), MARK: mark}


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def ends(terminal: Terminal, mark: str, exit_code: int) -> None:
    """The command ends soon, and nothing that it started is left."""
    took = terminal.wait(60)
    left = carriers(mark)
    assert terminal.exit_code == exit_code, terminal.text
    assert not left, f"left after {took:.1f} s: {left}"
    assert took < SOON_S


def runs(home: Path) -> dict[str, str]:
    """MLflow's runs by step, with their state."""
    with sqlite3.connect(home / "store" / "mlflow.db") as database:
        return {
            name.rpartition("-")[0]: state
            for name, state in database.execute("select name, status from runs")
        }


def test_an_interrupt_that_is_swallowed_ends_the_process_all_the_same(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = Terminal(tmp_path, ["-c", DEAF], environment(mark))
    until(lambda: "ready" in terminal.text, "the loop")
    terminal.press(CTRL_C)
    ends(terminal, mark, 130)
    assert terminal.text.count("swallowed") == 1


def test_what_breaks_on_the_way_out_is_not_the_end(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = Terminal(tmp_path, ["-c", BREAKS], environment(mark))
    until(lambda: "ready" in terminal.text, "the pause")
    os.kill(terminal.pid, signal.SIGHUP)
    ends(terminal, mark, 129)


def begin(home: Path, mark: str, step: str) -> Terminal:
    """``ufvideo run`` up to the moment at which a step is at work."""
    (home / "wait").write_text(step)
    terminal = Terminal(home, ["-m", "pipeline", "run", "tiny.yaml"], environment(mark))

    def reached() -> bool:
        assert terminal.running(), terminal.text
        return bool(list(home.glob(f"store/{step}/*/data.txt")))

    until(reached, step)
    return terminal


@pytest.mark.slow
def test_ctrl_c_ends_a_run(home: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = begin(home, mark, "corpora")
    assert len(carriers(mark)) > 4, "the command, Ray and the job are at work"
    terminal.press(CTRL_C)
    ends(terminal, mark, 130)
    assert "go on with: ufvideo run tiny.yaml" in terminal.text
    assert runs(home) == {"corpora": "KILLED"}
    assert not list(home.glob("store/corpora/*/record.json"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "closed terminal", "Ctrl-C twice"])
def test_every_way_to_end_a_run(home: Path, how: str) -> None:
    mark = uuid.uuid4().hex
    terminal = begin(home, mark, "prepare")
    code = {"SIGTERM": 143, "Ctrl-C twice": 130}.get(how, 129)
    if how == "Ctrl-C twice":
        terminal.press(CTRL_C + CTRL_C)
    elif how == "closed terminal":
        terminal.close()
    else:
        os.kill(terminal.pid, getattr(signal, how))
    ends(terminal, mark, code)
    assert runs(home) == {"corpora": "FINISHED", "prepare": "KILLED"}

    (home / "wait").unlink()
    again = Terminal(home, ["-m", "pipeline", "run", "tiny.yaml"], environment(mark))
    again.wait(WAIT_S)
    assert again.exit_code == 0, again.text
    assert "7 of 8 steps to make" in again.text
    assert set(runs(home).values()) == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ctrl_c_while_the_cluster_starts(home: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = Terminal(home, ["-m", "pipeline", "run", "tiny.yaml"], environment(mark))
    until(lambda: len(carriers(mark)) > 1, "the first of Ray's processes")
    terminal.press(CTRL_C)
    ends(terminal, mark, 130)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ctrl_c_ends_a_step_that_runs_alone(home: Path) -> None:
    mark = uuid.uuid4().hex
    (home / "wait").write_text("corpora")
    step = Terminal(home, ["-m", "datasets_prep", "--plan", "tiny.yaml"], environment(mark))
    until(lambda: list(home.glob("store/corpora/*/data.txt")), "the step")
    step.press(CTRL_C)
    ends(step, mark, 130)
    assert "stopped; run the same command to go on" in step.text
    assert runs(home) == {"corpora": "KILLED"}


@pytest.mark.slow
def test_a_step_waits_for_the_one_that_makes_it(home: Path) -> None:
    mark = uuid.uuid4().hex
    (home / "wait").write_text("corpora")
    arguments = ["-m", "datasets_prep", "--plan", "tiny.yaml", "--step", "corpora"]
    first = Terminal(home, arguments, environment(mark))
    until(lambda: list(home.glob("store/corpora/*/data.txt")), "the step")
    second = Terminal(home, arguments, environment(mark))
    until(
        lambda: f"is being made by python -m datasets_prep (process {first.pid} on" in second.text,
        "the second",
    )
    (home / "wait").unlink()
    assert first.wait(WAIT_S) >= 0
    second.wait(WAIT_S)
    assert (first.exit_code, second.exit_code) == (0, 0), second.text
    assert "made in" in first.text
    assert "was made meanwhile" in second.text
    assert runs(home) == {"corpora": "FINISHED"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("end", ["made", "killed"])
def test_a_second_run_follows_the_first(home: Path, end: str) -> None:
    mark, run = uuid.uuid4().hex, ["-m", "pipeline", "run", "tiny.yaml"]
    first = begin(home, mark, "prepare")
    second = Terminal(home, run, environment(uuid.uuid4().hex))
    until(
        lambda: f"prepare: is being made by ufvideo run (process {first.pid} on" in second.text, "the second"
    )
    if end == "killed":
        os.kill(first.pid, signal.SIGKILL)
        first.wait(WAIT_S)
    (home / "wait").unlink()
    second.wait(WAIT_S)
    assert second.exit_code == 0, second.text
    assert "| the table |" in second.text[-200:], second.text
    went_on = "the other run has ended; going on here" in second.text
    assert went_on == (end == "killed")
    if end == "made":
        first.wait(WAIT_S)
        assert first.exit_code == 0, first.text
    assert set(runs(home).values()) == {"FINISHED"}
