"""``ufvideo run``."""

from __future__ import annotations

import argparse

from pipeline.commands.completers import completed, step_names
from pipeline.commands.plan_argument import add_plan, typed_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_plan(parser)
    parser.add_argument("--check", action="store_true", help="print what would be done, and do nothing")
    until = parser.add_argument("--until", metavar="STEP", help="make this step and what it needs, no more")
    force = parser.add_argument(
        "--force-step",
        action="append",
        default=[],
        metavar="STEP",
        help="make this step again even if it is there",
    )
    completed(until, step_names)
    completed(force, step_names)


def act(options: argparse.Namespace) -> int:
    """Run the plan, or with ``--check`` print what a run would do. The exit code."""
    if options.check:
        from pipeline.commands import check

        return check.act(options)
    from pipeline.artifacts.steps import steps_up_to
    from pipeline.artifacts.survey import survey
    from pipeline.commands.preflight import preflight, refuse_steps
    from pipeline.commands.status_table import next_command
    from pipeline.jobs.runner import run
    from pipeline.plan.load import load_plan_file

    file = load_plan_file(options.plan, options.set)
    preflight(file.plan, file.where, steps_up_to(file.plan, options.until, options.force_step))
    code = run(
        file.plan,
        options.plan,
        options.until,
        options.force_step,
        refuse=lambda decisions: refuse_steps(file.plan, decisions, file.where),
    )
    if code == 0:
        plan_status = survey(file.plan)
        if line := next_command(typed_plan(options), plan_status, plan_status.decide()):
            print(f"\n{line}")
    return code
