"""``ufvideo submit``."""

from __future__ import annotations

import argparse
import sys

from pipeline.commands.plan_argument import add_plan, typed_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_plan(parser)


def act(options: argparse.Namespace) -> int:
    """Submit the run and print the job's id. The exit code."""
    from pipeline.artifacts.survey import survey
    from pipeline.commands.preflight import preflight
    from pipeline.errors import UserError
    from pipeline.jobs.runner import write_plan
    from pipeline.jobs.server import job_server, module_command, submit_job
    from pipeline.plan.load import load_plan_file

    file = load_plan_file(options.plan, options.set)
    plan = file.plan
    preflight(plan, file.where)
    plan_status = survey(plan)
    if not plan.ray.elsewhere:
        raise UserError(
            f"{options.plan}, ray",
            "names no cluster to submit to.",
            "Set ray.dashboard to its job server (http://host:8265), or use ufvideo run.",
        )
    plan_file = write_plan(plan, plan_status.root)
    with job_server(plan.ray) as server:
        command = module_command("pipeline", ["run", plan_file.uri], embedded=False)
        job = submit_job(server, command, {}, {"plan": plan.name})
    print(job)
    print(f"Next: ufvideo logs {job} {typed_plan(options)} --follow", file=sys.stderr)
    return 0
