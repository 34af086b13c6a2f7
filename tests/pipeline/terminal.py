"""A command in its own terminal: keys reach it as from a keyboard, and the terminal can be closed."""

from __future__ import annotations

import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

CTRL_C = b"\x03"


class Terminal:
    """``python ARGUMENTS`` leads a session with a pseudo-terminal; ``text`` is what it has shown."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.pid, self._side = pty.fork()
        if not self.pid:
            for number in (signal.SIGINT, signal.SIGHUP):  # a test run in the background ignores them
                signal.signal(number, signal.SIG_DFL)
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, *arguments], dict(environment))
        self.text, self.exit_code = "", None
        self._reader = threading.Thread(target=self._read, args=(self._side,), daemon=True)
        self._reader.start()

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._side, keys)

    def close(self) -> None:
        """Close the terminal: the kernel sends SIGHUP to the processes in it."""
        os.close(self._side)

    def running(self) -> bool:
        """True until the command has ended; ``exit_code`` is negative for a signal."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                self._reader.join(5)
        return self.exit_code is None

    def wait(self, seconds: float) -> float:
        """Wait for the end and return the seconds that it took. Kills the command after ``seconds``."""
        begun = time.monotonic()
        while self.running():
            if time.monotonic() - begun > seconds:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"still running after {seconds:g} s:\n{self.text[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def _read(self, side: int) -> None:
        with suppress(OSError):  # the other side is closed
            while data := os.read(side, 65536):
                self.text += data.decode(errors="replace")


def processes_with(mark: str) -> dict[int, str]:
    """Command lines by process id of the processes that have the mark in their environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark.encode() in (entry / "environ").read_bytes():
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(entry.name)] = line[:120]
    return found
