"""Ctrl-C, a closed terminal and SIGTERM end a command within seconds, and everything that it started."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pipeline.jobs.owner import JOB, OWNER, owner_token, start_time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 4.0  # a command in a terminal is to have ended 5 s after Ctrl-C
JOB_GRACE_S = 2.5  # Ray kills a job 3 s after it has asked it to end
_LAST_S = 1.5  # so long the processes that were killed are waited for


class Interrupted(KeyboardInterrupt):
    """A signal asks this command to end. Raised once in the main thread; later signals change nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _Guard:
    """The handlers of this process, and the thread that ends it when the exception alone does not."""

    def __init__(self, grace_s: float) -> None:
        self.grace_s, self.received = grace_s, 0
        self._before: dict[signal.Signals, Any] = {}
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A handler runs between two instructions of the main thread, which may be in C for a long time. The
        # byte that the signal writes to this pipe arrives at once.
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self.install()
        os.set_blocking(self._read, True)
        threading.Thread(target=self._end_after_grace, name="interrupt", daemon=True).start()

    def install(self) -> None:
        """Set the handlers, also where a library has put its own. Ignored signals (nohup) stay ignored."""
        for number in SIGNALS:
            now = signal.getsignal(number)
            if now is not signal.SIG_IGN and now != self._handle:
                self._before.setdefault(number, now)
                signal.signal(number, self._handle)

    def remove(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._write)  # the thread reads the end, and goes

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self.received = number
            raise Interrupted(number)

    def _end_after_grace(self) -> None:
        while numbers := os.read(self._read, 1):
            if numbers[0] in SIGNALS:
                time.sleep(self.grace_s)
                leave(128 + numbers[0])
        os.close(self._read)


_guard: _Guard | None = None


@contextmanager
def interruptible(grace_s: float) -> Iterator[None]:
    """Inside, a signal of ``SIGNALS`` raises Interrupted, once.

    Whatever became of that exception inside, and of what broke on its account (a closed terminal takes no
    last line), it is Interrupted that comes out. Whoever catches it calls ``leave``. A process that has not
    left ``grace_s`` seconds after the signal is ended as ``leave`` does it, wherever it is.
    """
    global _guard
    if _guard is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    guard = _guard = _Guard(grace_s)
    try:
        yield
    except Exception:
        if not guard.received:
            raise
    finally:
        if not guard.received:  # else the thread stays, to see this process end
            _guard = None
            guard.remove()
    if guard.received:
        raise Interrupted(guard.received)


def take_back() -> None:
    """Set the handlers again after a library has put its own in their place."""
    if _guard is not None:
        _guard.install()


def interrupted() -> bool:
    """True once a signal has asked this process to end."""
    return _guard is not None and bool(_guard.received)


def leave(exit_code: int) -> NoReturn:
    """End this process at once, after every process that it started on this machine."""
    end_family()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the terminal may be closed
            stream.flush()
    os._exit(exit_code)


def end_family() -> None:
    """Kill every process that carries this one's token in its environment, and see them go.

    These are the processes of its embedded cluster: Ray's own, the job's, and workers, in whichever session.
    """
    deadline = time.monotonic() + _LAST_S
    while family := list(_family()):
        for pid, _ in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def end_job(job: str, wait_s: float) -> None:
    """Ask the command of a job on this process's embedded cluster to end, and wait for it.

    Ray's job server does the same by way of four processes, which on a busy machine takes longer than a
    person at a terminal waits.
    """
    own = f"{JOB}={job}".encode()
    deadline = time.monotonic() + wait_s
    commands = [pid for pid, variables in _family() if own in variables and _leads_session(pid)]
    for pid in commands:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while any(start_time(pid) for pid in commands) and time.monotonic() < deadline:
        time.sleep(0.02)


def _leads_session(pid: int) -> bool:
    """A job's command does; its Ray workers have the same environment."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _family() -> Iterator[tuple[int, list[bytes]]]:
    """The processes that this one started, with their environments."""
    if not Path("/proc/self").exists():
        return
    token = f"{OWNER}={owner_token()}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                variables = Path("/proc", name, "environ").read_bytes().split(b"\0")
            except OSError:  # it has ended, or is another user's
                continue
            if token in variables:
                yield int(name), variables
