"""``ufvideo status``."""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.completers import completed, nothing
from pipeline.commands.plan_argument import add_plan, cluster_of, typed_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    job = parser.add_argument(
        "job", nargs="?", metavar="JOB_ID", help="a job's id; without it: the steps of the plan"
    )
    completed(job, nothing)
    add_plan(parser)


def act(options: argparse.Namespace) -> int:
    """Print the state of every step and of a limited cache, or of one job. The exit code."""
    from pipeline.artifacts.notices import missing_media
    from pipeline.artifacts.survey import survey
    from pipeline.commands.status_table import print_table, state_and_next
    from pipeline.plan.load import load_plan

    plan = load_plan(options.plan, options.set)
    if options.job:
        from pipeline.jobs.server import job_info, job_server

        with job_server(cluster_of(plan)) as server:
            info = job_info(server, options.job)
        print(f"{options.job}: {info.status.value.lower()}  {info.message or ''}".rstrip())
        follow = "" if info.status.is_terminal() else " --follow"
        print(f"Next: ufvideo logs {options.job} {typed_plan(options)}{follow}", file=sys.stderr)
        return 0
    plan_status = survey(plan)
    decisions = plan_status.decide()
    print_table(plan_status, decisions)
    for note in missing_media(plan, plan_status, decisions):
        print(note)
    if plan.storage.cache_gb is not None:
        print(plan.storage.local_cache.state())
    print(state_and_next(typed_plan(options), plan_status, decisions))
    return 0
