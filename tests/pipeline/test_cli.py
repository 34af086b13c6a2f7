"""The command answers at once, and says what is wrong in one paragraph."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
HEAVY = ("ray", "torch", "mlflow", "transformers", "pandas", "pyarrow", "s3fs", "deepspeed", "numpy")


def ufvideo(*arguments: str, cwd: Path = REPO) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; the last line of stderr lists the heavy modules that it loaded."""
    code = (
        "import sys, atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('loaded', *[m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "from pipeline.cli import main\n"
        f"sys.exit(main({list(arguments)!r}))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=environment, timeout=60
    )


def test_help_is_light():
    done = ufvideo("--help")
    assert done.returncode == 0
    assert done.stderr == "loaded\n"
    assert all(word in done.stdout for word in ("run", "check", "submit", "status", "logs"))


def test_check_is_light_and_quick(plan_file: Path):
    begun = time.process_time(), os.times().children_user + os.times().children_system
    done = ufvideo("check", str(plan_file))
    seconds = os.times().children_user + os.times().children_system - begun[1]
    assert done.returncode == 0
    assert done.stderr == "loaded\n"
    assert "8 of 8 steps to make" in done.stdout
    assert seconds < 2, "CPU seconds, so that a busy machine does not fail the test"


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_bad_plan_is_one_paragraph_and_exit_code_2(plan_file: Path, tmp_path: Path, command: str):
    plan_file.write_text(plan_file.read_text().replace("global_batch: 8", "global_batch: 10", 1))
    done = ufvideo(command, str(plan_file))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 2  # the paragraph, and the list of modules
    assert "1 x 5" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "store").exists(), "nothing half-written"


def test_steps_that_the_plan_lacks(plan_file: Path):
    for arguments in (("--until", "nothing"), ("--force-step", "nothing")):
        done = ufvideo("run", str(plan_file), *arguments)
        assert done.returncode == 2
        assert "is not in this plan" in done.stderr


def test_a_relative_root_on_a_cluster_is_refused(plan_file: Path):
    done = ufvideo(
        "run", str(plan_file), "--set", "storage.root=runs/x", "--set", "ray.dashboard=http://127.0.0.1:9"
    )
    assert done.returncode == 2
    assert "relative to this machine" in done.stderr
    done = ufvideo("submit", str(plan_file))
    assert done.returncode == 2
    assert "names no cluster" in done.stderr


def test_a_password_in_the_plan_is_refused(plan_file: Path):
    done = ufvideo("run", str(plan_file), "--set", "tracking.uri=http://me:hush@host:5000")
    assert done.returncode == 2
    assert "holds credentials" in done.stderr
    assert "hush" not in done.stderr


def test_status_and_logs(plan_file: Path):
    done = ufvideo("status", str(plan_file))
    assert done.returncode == 0
    assert "todo  corpora" in done.stdout
    done = ufvideo("logs", "prepare", str(plan_file))
    assert done.returncode == 2
    assert "has no log here" in done.stderr
