"""A step as a process of this command: many steps take less time than a cluster to start."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence

from pipeline.artifacts.steps import Kind, StepSpec
from pipeline.jobs import cluster, interrupt
from pipeline.jobs.owner import JOB, OWNER, owner_token
from pipeline.jobs.server import HOME, STOP_WAIT_S, Outcome
from pipeline.plan.runtime import RayConfig
from pipeline.progress import PROGRESS_ENV

# Evaluation asks a model only where answers are missing, and then starts a cluster of its own.
_KINDS = (Kind.EVALUATE, Kind.REPORT)


def needs_no_cluster(config: RayConfig, steps: Iterable[StepSpec]) -> bool:
    """Whether these steps can run as a process here.

    Not where the plan names a cluster: its machines may see files, and have memory, that this one does not.
    """
    return not config.elsewhere and not cluster.in_job() and all(step.kind in _KINDS for step in steps)


def run_locally(module: str, arguments: Sequence[str], take: Callable[[str], None]) -> Outcome:
    """Run ``python -m module`` as a process, and give every line that it prints to ``take``.

    It ends with this command, as a job on an embedded cluster does: within seconds after a signal, and
    even if this command is killed.
    """
    job = f"process_{secrets.token_hex(8)}"
    paths = [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        JOB: job,
        OWNER: owner_token(),
        PROGRESS_ENV: "json",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C in a terminal reaches this command alone
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            take(line.rstrip("\n"))
        code = process.wait()
    except BaseException:
        interrupt.end_job(job, STOP_WAIT_S)
        raise
    status = "SUCCEEDED" if code == 0 else "FAILED"
    return Outcome(code == 0, status, code, f"python -m {module} ended with exit code {code}")
