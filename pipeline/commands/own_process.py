"""Commands that need torch run in a process of their own, with this terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from pipeline.jobs.owner import OWNER, owner_token

GRACE_S = 2.0


def run_module(module: str, arguments: Sequence[str]) -> int:
    """Run ``python -m module arguments`` and wait for it. Its exit code; 128 plus a signal that ended it."""
    # -P: modules in the working folder, such as a user's json.py, must not be imported.
    command = [sys.executable, "-P", "-m", module, *arguments]
    process = subprocess.Popen(command, env={**os.environ, OWNER: owner_token()})
    with _passed_on(process):
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                # Ctrl-C in a terminal reaches the process too, and it reports the end; `kill` does not.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
                process.send_signal(signal.SIGINT)  # does nothing to one that has ended
                continue
            return code if code >= 0 else 128 - code


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on that would end this process alone: the other one has things to clean up."""

    def send(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    before = {n: handler for n, handler in before.items() if handler is not signal.SIG_IGN}  # as under nohup
    for number in before:
        signal.signal(number, send)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
