"""``ufvideo stop``."""

from __future__ import annotations

import argparse
import os
import sys

from pipeline.commands.completers import completed, nothing, plan_files
from pipeline.commands.plan_argument import add_set, cluster_of, typed_plan

_SERVER_ENV = "RAY_API_SERVER_ADDRESS"  # what Ray's own `ray job` reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    job = parser.add_argument("job", metavar="JOB_ID", help="a job's id, as `ufvideo submit` printed it")
    completed(job, nothing)
    plan = parser.add_argument(
        "plan",
        metavar="PLAN",
        nargs="?",
        help=f"the plan that was submitted (YAML), for its cluster; without it: ${_SERVER_ENV}",
    )
    completed(plan, plan_files)
    add_set(parser)


def act(options: argparse.Namespace) -> int:
    """Stop a job and the jobs of its steps. Exit code: 1 if it has not ended after a while."""
    from pipeline.errors import UserError
    from pipeline.jobs.server import STOP_COMMAND_WAIT_S, job_info, job_server, stop_job
    from pipeline.plan.load import load_plan
    from pipeline.plan.runtime import RayConfig

    address = os.environ.get(_SERVER_ENV)
    if options.plan is None and not address:
        raise UserError(
            f"job {options.job}",
            "no cluster is named.",
            f"Name the plan that was submitted: ufvideo stop {options.job} PLAN, or set {_SERVER_ENV}.",
        )
    plan = load_plan(options.plan, options.set) if options.plan else None
    config = RayConfig(dashboard=address) if plan is None else cluster_of(plan)
    with job_server(config) as server:
        before = job_info(server, options.job)
        if before.status.is_terminal():
            print(f"{options.job} had already ended: {before.status.value.lower()}")
            return 0
        if alive := stop_job(server, options.job, wait_s=STOP_COMMAND_WAIT_S):
            print(f"{' '.join(alive)}: asked to stop, but still running; check again with ufvideo status")
            return 1
        after = job_info(server, options.job)
    print(f"{options.job}: {after.status.value.lower()}")
    plan_typed = typed_plan(options) if options.plan else "PLAN"
    print("Finished steps are kept; submit the plan again to go on.", file=sys.stderr)
    print(f"Next: ufvideo submit {plan_typed}", file=sys.stderr)
    return 0
