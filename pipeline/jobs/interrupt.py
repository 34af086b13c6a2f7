"""Ctrl-C, a closed terminal and SIGTERM end a command and its processes within seconds."""

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
GRACE_S = 4.0  # a command in a terminal has to end within 5 s of Ctrl-C
JOB_GRACE_S = 2.5  # Ray kills a job 3 s after it has asked it to stop
_LAST_S = 1.5  # how long to wait for killed processes


class Interrupted(KeyboardInterrupt):
    """A signal asks this command to end. Raised once, in the main thread; later signals are ignored."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _Guard:
    """The handlers of this process, and the thread that ends it when the exception alone does not."""

    def __init__(self, grace_s: float) -> None:
        self.grace_s, self.received = grace_s, 0
        self._before: dict[signal.Signals, Any] = {}
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A handler runs between two instructions of the main thread, which may spend a long time in C. The
        # byte that the signal writes to this pipe arrives at once.
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self.install()
        os.set_blocking(self._read, True)
        threading.Thread(target=self._end_after_grace, name="interrupt", daemon=True).start()

    def install(self) -> None:
        """Set the handlers, replacing those of libraries. Ignored signals (nohup) stay ignored."""
        for number in SIGNALS:
            now = signal.getsignal(number)
            if now is not signal.SIG_IGN and now != self._handle:
                self._before.setdefault(number, now)
                signal.signal(number, self._handle)

    def remove(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._write)  # the thread reads end of file and returns

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
    """Inside, the first signal of ``SIGNALS`` raises Interrupted.

    Interrupted also comes out if the block has swallowed it, or replaced it by another error (printing to a
    closed terminal fails). The caller catches it and calls ``leave``. A process that has not
    left ``grace_s`` seconds after the signal is ended by a thread, as ``leave`` does.
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
        if not guard.received:  # else the thread stays, to end this process
            _guard = None
            guard.remove()
    if guard.received:
        raise Interrupted(guard.received)


def reinstall_handlers() -> None:
    """Set the handlers again after a library has replaced them."""
    if _guard is not None:
        _guard.install()


def interrupted() -> bool:
    """True once a signal has asked this process to end."""
    return _guard is not None and bool(_guard.received)


def leave(exit_code: int) -> NoReturn:
    """Kill every process that this one started on this machine, then end this process at once."""
    kill_family()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the terminal may be closed
            stream.flush()
    os._exit(exit_code)


def kill_family() -> None:
    """Kill every process that carries this one's token, and what these started; wait until they are gone.

    These are the processes of its embedded cluster: Ray's own, jobs and workers, in any session.
    """
    killed: dict[int, str] = {}
    deadline, calm = time.monotonic() + _LAST_S, 0
    # Twice without any: a process that was killed cannot always be read, and need not be gone yet.
    while calm < 2 and time.monotonic() < deadline:
        family = list(_family())
        for pid, _ in family:
            killed.setdefault(pid, start_time(pid))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        dying = [pid for pid, begun in killed.items() if begun and start_time(pid) == begun]
        calm = 0 if family or dying else calm + 1
        time.sleep(0.02)


def end_job(job: str, wait_s: float) -> None:
    """Ask the command of a job on this process's embedded cluster to end, and wait for it.

    Ray's job server does the same through four processes, which on a busy machine takes longer than a
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
    """Whether a process leads its session: a job's command does, its Ray workers do not."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _family() -> Iterator[tuple[int, list[bytes]]]:
    """This process's descendants, and those that carry its token with theirs; with their environments.

    A process that gives itself a name, as Ray's agents do, may overwrite the part of its environment that
    has the token; and one whose parent has ended is nobody's descendant. So both are needed.
    """
    if not Path("/proc/self").exists():
        return
    token, own = f"{OWNER}={owner_token()}".encode(), os.getpid()
    environments: dict[int, list[bytes]] = {}
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environments[int(name)] = Path("/proc", name, "environ").read_bytes().split(b"\0")
                parent = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended, or is another user's
                continue
            children.setdefault(parent, []).append(int(name))
    waiting = [own, *(pid for pid, variables in environments.items() if token in variables)]
    found = {own}
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            yield pid, environments.get(pid, [])
        waiting += [child for child in children.get(pid, ()) if child not in found]
