"""``ufvideo logs``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.commands.completers import completed, nothing
from pipeline.commands.plan_argument import add_plan, cluster_of, typed_plan

_FOLLOW_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    job = parser.add_argument("job", metavar="JOB_ID", help="a job's id, or a step's name")
    completed(job, nothing)  # the plan that knows the steps comes after it
    add_plan(parser)
    parser.add_argument("--follow", action="store_true", help="go on until the job ends, or the step is made")


def act(options: argparse.Namespace) -> int:
    """Print the log of a step that this machine ran, or of a submitted job. The exit code."""
    from pipeline.artifacts.record import load_artifact
    from pipeline.artifacts.survey import survey
    from pipeline.errors import UserError
    from pipeline.jobs.runner import log_path
    from pipeline.plan.load import load_plan

    plan = load_plan(options.plan, options.set)
    plan_status = survey(plan)
    if any(s.name == options.job for s in plan_status.specs):
        path = log_path(plan, plan_status, options.job)
        if not path.exists():
            raise UserError(
                f"step {options.job}",
                f"has no log here ({path}).",
                "Only steps that `ufvideo run` started have one.",
            )
        _print_log(
            path, (lambda: load_artifact(plan_status.folder(options.job)) is None) if options.follow else None
        )
        print(f"Next: ufvideo status {typed_plan(options)}", file=sys.stderr)
        return 0
    from pipeline import progress
    from pipeline.jobs.server import follow_job, job_info, job_output, job_server

    with job_server(cluster_of(plan)) as server:
        job_info(server, options.job)
        lines: Iterable[str] = job_output(server, options.job)
        if options.follow:
            lines = follow_job(server, options.job, stops=False)
        cadence = progress.Cadence()
        for line in lines:
            message = progress.parse(line)
            text = line if message is None else cadence.line(message) if "title" in message else None
            if text is not None:
                print(text, flush=True)
    print(f"Next: ufvideo status {options.job} {typed_plan(options)}", file=sys.stderr)
    return 0


def _print_log(path: Path, goes_on: Callable[[], bool] | None) -> None:
    """Print a file, and what is appended to it as long as ``goes_on``."""
    with path.open(encoding="utf-8") as file:
        while True:
            last = goes_on is None or not goes_on()  # asked first, so that the last read misses nothing
            print(file.read(), end="", flush=True)
            if last:
                return
            time.sleep(_FOLLOW_EVERY_S)
