"""``ufvideo check``."""

from __future__ import annotations

import argparse

from pipeline.commands.plan_argument import add_plan, typed_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_plan(parser)


def act(options: argparse.Namespace) -> int:
    """Refuse what cannot work, or print what a run would do. The exit code."""
    from pipeline.artifacts.steps import State, steps_up_to, up_to
    from pipeline.artifacts.survey import survey
    from pipeline.commands.hidden_truth import hidden_lines
    from pipeline.commands.preflight import preflight, refuse_steps
    from pipeline.commands.status_table import next_command
    from pipeline.commands.uneven import uneven_lines
    from pipeline.commands.unscored import unscored_lines
    from pipeline.plan.load import load_plan_file

    file = load_plan_file(options.plan, options.set)
    until, forced = getattr(options, "until", None), frozenset(getattr(options, "force_step", ()))
    asked = steps_up_to(file.plan, until, forced)
    preflight(file.plan, file.where, asked)
    plan_status = survey(file.plan)
    decisions = up_to(plan_status.decide(forced), until)
    refuse_steps(file.plan, decisions, file.where)
    for decision in decisions:
        place = plan_status.folder(decision.spec.name).uri
        print(f"{decision.state:<5} {decision.spec.name:<20} {decision.reason:<28} {place}")
    for line in (*uneven_lines(file.plan), *hidden_lines(file.plan), *unscored_lines(file.plan)):
        print(line)
    todo = sum(d.state is State.TODO for d in decisions)
    print(f"{options.plan} is valid: {todo} of {len(decisions)} steps to make.")
    typed = typed_plan(options) + (f" --until {until}" if until else "")
    if line := next_command(typed, plan_status, decisions):
        print(line)
    return 0
