"""Ctrl-C, SIGTERM and a closed terminal end a run within seconds; no process stays, and it can be resumed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.jobs.owner import start_time
from pipeline.jobs.sender import send_now
from pipeline.plan.load import load_plan
from tests.pipeline.terminal import CTRL_C, Terminal, processes_with

REPO = Path(__file__).resolve().parents[2]
SOON_S = 5.0  # within which a command must end
WAIT_S = 600.0  # a bound for a busy machine; nothing needs that long
MARK = "UFVIDEO_TEST_MARK"

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")

# Modules in place of the real steps. A step waits while the file `wait` names it.
STEPS = """\
import hashlib, sys, time
from pathlib import Path
import pipeline
from pipeline.jobs.step import StepResult, run_step

# Registries still find their rows in the package of the same name.
__path__ = [str(Path(pipeline.__file__).parents[1] / Path(__file__).stem)]

def make(context):
    context.tracker.log_metrics({"one": 1.0}, step=0)
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

# A process with the token starts one that has overwritten its environment, as Ray's agents do.
FAMILY = """\
import os, subprocess, sys
from pipeline.jobs.interrupt import leave
from pipeline.jobs.owner import OWNER, owner_token
NAMELESS = "import time; print(1, flush=True); time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {NAMELESS!r}], env={{}})"
variables = os.environ | {OWNER: owner_token()}
child = subprocess.Popen(
    [sys.executable, "-c", PARENT], env=variables, stdout=subprocess.PIPE, start_new_session=True
)
child.stdout.readline()
children = open(f"/proc/{child.pid}/task/{child.pid}/children").read().split()
print(child.pid, *children, flush=True)
leave(3)
"""

BREAKS = """\
import time
from pathlib import Path
from pipeline.jobs.interrupt import Interrupted, interruptible, leave
from pipeline.jobs.tracking import status_after
try:
    with interruptible(20.0):
        print("ready", flush=True)
        try:
            time.sleep(600)
        finally:
            Path("status").write_text(status_after(OSError))
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
    """A working directory with the plan and the trivial steps."""
    for module in ("datasets_prep", "training", "evaluation"):
        (tmp_path / f"{module}.py").write_text(STEPS)
    return tmp_path


def environment(mark: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "UFVIDEO_"))}
    return kept | {"PYTHONPATH": str(REPO), MARK: mark}


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def assert_ended(terminal: Terminal, mark: str, exit_code: int) -> None:
    """Assert that the command ends within SOON_S with this exit code, and leaves no process."""
    took = terminal.wait(60)
    left = processes_with(mark)
    assert terminal.exit_code == exit_code, terminal.text
    assert not left, f"left after {took:.1f} s: {left}"
    assert took < SOON_S


def runs(home: Path) -> dict[str, str]:
    """MLflow's runs by step, and that of the plan ("tiny"), with their state, once everything is sent.

    The command has no time for that: it leaves within seconds, and opening MLflow may take longer.
    """
    outcome = send_now(load_plan(str(home / "tiny.yaml"), [f"storage.root={home}/store"]))
    assert (outcome.left, outcome.refused, outcome.problem) == (0, 0, "")
    with sqlite3.connect(home / "store" / "mlflow.db") as database:
        return {
            name.rpartition("-")[0]: state
            for name, state in database.execute("select name, status from runs")
        }


def test_an_interrupt_that_the_program_swallows_still_ends_the_process(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = Terminal(tmp_path, ["-c", DEAF], environment(mark))
    wait_until(lambda: "ready" in terminal.text, "the loop")
    terminal.press(CTRL_C)
    assert_ended(terminal, mark, 130)
    assert terminal.text.count("swallowed") == 1


def test_an_error_while_ending_does_not_change_the_exit_code(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = Terminal(tmp_path, ["-c", BREAKS], environment(mark))
    wait_until(lambda: "ready" in terminal.text, "the pause")
    os.kill(terminal.pid, signal.SIGHUP)
    assert_ended(terminal, mark, 129)
    assert (tmp_path / "status").read_text() == "KILLED"


def start_run(home: Path, mark: str, step: str) -> Terminal:
    """Start ``ufvideo run`` and return once ``step`` is running."""
    (home / "wait").write_text(step)
    terminal = Terminal(home, ["-m", "pipeline", "run", "tiny.yaml"], environment(mark))

    def reached() -> bool:
        assert terminal.running(), terminal.text
        return bool(list(home.glob(f"store/{step}/*/data.txt")))

    wait_until(reached, step)
    return terminal


def make_all_but_evaluations(home: Path) -> None:
    for module in ("datasets_prep", "training"):
        step = [sys.executable, "-m", module, "--plan", "tiny.yaml"]
        subprocess.run(step, cwd=home, env=environment("x"), check=True, capture_output=True, timeout=WAIT_S)


def test_a_run_of_evaluations_alone_starts_no_cluster(home: Path) -> None:
    make_all_but_evaluations(home)
    mark = uuid.uuid4().hex
    terminal = start_run(home, mark, "report")
    running = [line.split(" -m ")[1].split()[0] for line in processes_with(mark).values()]
    assert sorted(running) == ["evaluation", "pipeline", "pipeline.jobs.sender"], "none of Ray's"
    (home / "wait").unlink()
    terminal.wait(WAIT_S)
    assert terminal.exit_code == 0, terminal.text
    assert "| the table |" in terminal.text
    logs = {path.name.rpartition("-")[0]: path.read_text() for path in home.glob("store/logs/*.log")}
    assert "--- python -m evaluation" in logs["evaluate-init"]
    assert "report: made in" in logs["report"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGKILL"])
def test_a_step_without_a_cluster_ends_with_its_command(home: Path, how: str) -> None:
    make_all_but_evaluations(home)
    mark = uuid.uuid4().hex
    terminal = start_run(home, mark, "report")
    if how == "Ctrl-C":
        terminal.press(CTRL_C)
        assert_ended(terminal, mark, 130)
        assert "go on with: ufvideo run tiny.yaml" in terminal.text
        assert runs(home)["report"] == "KILLED"
    else:
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.wait(60)
        wait_until(lambda: not processes_with(mark), "the step's end")
    assert not list(home.glob("store/report/*/record.json"))


def test_the_end_of_a_command_kills_what_its_processes_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAMILY],
        env=environment("x"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    pids = done.stdout.split()
    assert len(pids) == 2
    assert [start_time(int(pid)) for pid in pids] == ["", ""]


@pytest.mark.slow
def test_ctrl_c_ends_a_run_and_leaves_no_process(home: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = start_run(home, mark, "corpora")
    assert len(processes_with(mark)) > 4, "the command, Ray and the job must be running"
    terminal.press(CTRL_C)
    assert_ended(terminal, mark, 130)
    assert "go on with: ufvideo run tiny.yaml" in terminal.text
    assert runs(home) == {"tiny": "KILLED", "corpora": "KILLED"}
    assert not list(home.glob("store/corpora/*/record.json"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "closed terminal", "Ctrl-C twice"])
def test_a_run_that_was_ended_in_any_way_is_resumed(home: Path, how: str) -> None:
    mark = uuid.uuid4().hex
    terminal = start_run(home, mark, "prepare")
    code = {"SIGTERM": 143, "Ctrl-C twice": 130}.get(how, 129)
    if how == "Ctrl-C twice":
        terminal.press(CTRL_C + CTRL_C)
    elif how == "closed terminal":
        terminal.close()
    else:
        os.kill(terminal.pid, getattr(signal, how))
    assert_ended(terminal, mark, code)
    assert runs(home) == {"tiny": "KILLED", "corpora": "FINISHED", "prepare": "KILLED"}

    (home / "wait").unlink()
    again = Terminal(home, ["-m", "pipeline", "run", "tiny.yaml"], environment(mark))
    again.wait(WAIT_S)
    assert again.exit_code == 0, again.text
    assert "7 of 8 steps to make" in again.text
    assert set(runs(home).values()) == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ctrl_c_ends_a_run_while_the_cluster_starts(home: Path) -> None:
    mark = uuid.uuid4().hex
    terminal = Terminal(home, ["-m", "pipeline", "run", "tiny.yaml"], environment(mark))
    wait_until(lambda: len(processes_with(mark)) > 1, "the first of Ray's processes")
    terminal.press(CTRL_C)
    assert_ended(terminal, mark, 130)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ctrl_c_ends_a_step_that_runs_alone(home: Path) -> None:
    mark = uuid.uuid4().hex
    (home / "wait").write_text("corpora")
    step = Terminal(home, ["-m", "datasets_prep", "--plan", "tiny.yaml"], environment(mark))
    wait_until(lambda: list(home.glob("store/corpora/*/data.txt")), "the step")
    step.press(CTRL_C)
    assert_ended(step, mark, 130)
    assert "stopped; run the same command to go on" in step.text
    assert runs(home) == {"tiny": "KILLED", "corpora": "KILLED"}


@pytest.mark.slow
def test_a_step_waits_for_another_process_that_makes_it(home: Path) -> None:
    mark = uuid.uuid4().hex
    (home / "wait").write_text("corpora")
    arguments = ["-m", "datasets_prep", "--plan", "tiny.yaml", "--step", "corpora"]
    first = Terminal(home, arguments, environment(mark))
    wait_until(lambda: list(home.glob("store/corpora/*/data.txt")), "the step")
    second = Terminal(home, arguments, environment(mark))
    wait_until(
        lambda: f"is being made by python -m datasets_prep (process {first.pid} on" in second.text,
        "the second",
    )
    (home / "wait").unlink()
    assert first.wait(WAIT_S) >= 0
    second.wait(WAIT_S)
    assert (first.exit_code, second.exit_code) == (0, 0), second.text
    assert "made in" in first.text
    assert "was made meanwhile" in second.text
    assert runs(home) == {"tiny": "FINISHED", "corpora": "FINISHED"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("end", ["made", "killed"])
def test_a_second_run_follows_the_first(home: Path, end: str) -> None:
    mark, run = uuid.uuid4().hex, ["-m", "pipeline", "run", "tiny.yaml"]
    first = start_run(home, mark, "prepare")
    second = Terminal(home, run, environment(uuid.uuid4().hex))
    wait_until(
        lambda: f"prepare: is being made by ufvideo run (process {first.pid} on" in second.text, "the second"
    )
    if end == "killed":
        os.kill(first.pid, signal.SIGKILL)
        first.wait(WAIT_S)
    (home / "wait").unlink()
    second.wait(WAIT_S)
    assert second.exit_code == 0, second.text
    assert "| the table |" in second.text, second.text
    went_on = "the other run has ended; going on here" in second.text
    assert went_on == (end == "killed")
    if end == "made":
        first.wait(WAIT_S)
        assert first.exit_code == 0, first.text
    assert set(runs(home).values()) == {"FINISHED"}
