"""A job must not outlive the command that started it: SIGKILL leaves no chance to clean up."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

OWNER = "UFVIDEO_OWNER"  # "pid:start time" of the command, in every process of its embedded cluster
JOB = "UFVIDEO_JOB"  # in a job: its id
OWNER_JOB = "UFVIDEO_OWNER_JOB"  # "id job-server" of the job that submitted this one
CHECK_EVERY_S = 0.5
ASK_EVERY_S = 3.0


def owner_token() -> str:
    """This process as pid and start time, which distinguishes it from a later process with the same pid."""
    return f"{os.getpid()}:{start_time(os.getpid())}"


def die_with_owner() -> None:
    """End this process when the command or job that owns it ends, if the environment names one."""
    if (token := os.environ.get(OWNER)) and Path("/proc/self").exists():
        _in_background(_watch_command, token)
    if named := os.environ.get(OWNER_JOB):
        _in_background(_watch_job, *named.split(" ", 1))


def start_time(pid: int) -> str:
    """Clock ticks since boot at which a process began; empty if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _in_background(watch: Callable[..., None], *arguments: str) -> None:
    threading.Thread(target=watch, args=arguments, name="owner-watch", daemon=True).start()


def _watch_command(token: str) -> None:
    """Exit at once when the command is gone.

    Ray's own processes of an embedded cluster die with the command by the kernel's parent-death signal,
    and Ray's job supervisor ends its job; this covers the case that the supervisor was killed too.
    """
    pid, _, begun = token.partition(":")
    while start_time(int(pid)) == begun:
        time.sleep(CHECK_EVERY_S)
    os._exit(137)


def _watch_job(job: str, url: str) -> None:
    """Stop this process, as Ray would, when the job that submitted it has ended.

    If the job server does not answer, nothing is known about the job and this process goes on.
    """
    client = None
    while True:
        time.sleep(ASK_EVERY_S)
        with suppress(Exception):
            if client is None:
                from ray.job_submission import JobSubmissionClient

                client = JobSubmissionClient(url)
            if client.get_job_status(job).is_terminal():
                os.kill(os.getpid(), signal.SIGTERM)
                return
