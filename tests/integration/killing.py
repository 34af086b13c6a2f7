"""SIGKILL for a whole run, at a moment that is visible from outside."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.mini import start, until

REACHED_S = 900  # a busy machine
_GONE_S = 90  # a worker that has just started waits half a minute for its raylet before it gives up
_MARK = "UFVIDEO_TEST_MARK"

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def processes_with(mark: str) -> list[str]:
    """Command lines of the processes with the mark in their environment: the command and its descendants."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return found


def kill_when(folder: Path, reached: Callable[[], object], what: str, *arguments: str) -> None:
    """Runs the plan, sends SIGKILL to the command's process group, and waits until every process has ended.

    The command's output is in ``out.txt``.
    """
    mark = uuid.uuid4().hex
    with open(folder / "out.txt", "wb") as out:
        process = start(folder, "run", "mini.yaml", *arguments, out=out, **{_MARK: mark})

    def there() -> bool:
        assert process.poll() is None, f"ended before {what}:\n{(folder / 'out.txt').read_text()}"
        return bool(reached())

    try:
        until(there, REACHED_S, what)
        assert len(processes_with(mark)) > 4, "the command, Ray and the job are running"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    until(lambda: not processes_with(mark), _GONE_S, "the end of every process of the killed run")
