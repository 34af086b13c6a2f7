"""A job must not outlive the command that started it: SIGKILL leaves no chance to clean up."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

OWNER = "UFVIDEO_OWNER"  # "pid:start time" of the command, set for jobs on its embedded cluster
CHECK_EVERY_S = 0.5


def owner_token() -> str:
    """This process as pid and start time; the time tells it from a later process with the same pid."""
    return f"{os.getpid()}:{_start_time(os.getpid())}"


def die_with_owner() -> None:
    """Watch the owning command, if one is named in the environment, and leave at once when it is gone.

    Ray's own processes of an embedded cluster die with the command by the kernel's parent-death signal,
    and Ray's job supervisor takes its job along; this thread covers a supervisor that was killed too.
    """
    token = os.environ.get(OWNER)
    if not token or not Path("/proc/self").exists():
        return
    pid, _, begun = token.partition(":")

    def watch() -> None:
        while _start_time(int(pid)) == begun:
            time.sleep(CHECK_EVERY_S)
        os._exit(137)

    threading.Thread(target=watch, name="owner-watch", daemon=True).start()


def _start_time(pid: int) -> str:
    """Clock ticks since boot at which a process began; empty if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
