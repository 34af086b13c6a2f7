"""SIGKILL for a whole run, at a moment that can be seen from outside."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.mini import start, until

REACHED_S = 900  # a busy machine
_GONE_S = 90  # a worker that had just been started asks for its raylet for half a minute before it gives up
_MARK = "UFVIDEO_TEST_MARK"

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def carriers(mark: str) -> list[str]:
    """Command lines of the processes that have the mark in their environment: the command and its brood."""
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
    """Run the plan, SIGKILL the command's whole process group, and see every process of the run go.

    What the command printed is in ``out.txt``.
    """
    mark = uuid.uuid4().hex
    with open(folder / "out.txt", "wb") as out:
        process = start(folder, "run", "mini.yaml", *arguments, out=out, **{_MARK: mark})

    def there() -> bool:
        assert process.poll() is None, f"ended before {what}:\n{(folder / 'out.txt').read_text()}"
        return bool(reached())

    try:
        until(there, REACHED_S, what)
        assert len(carriers(mark)) > 4, "the command, Ray and the job are at work"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    until(lambda: not carriers(mark), _GONE_S, "the end of every process of the killed run")
