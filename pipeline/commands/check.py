"""``ufvideo check``."""

from __future__ import annotations

import argparse

from pipeline.commands.plan_argument import add_plan, plan_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_plan(parser)


def act(options: argparse.Namespace) -> int:
    """Refuse what cannot work, else print what a run would do. The exit code."""
    from pipeline.artifacts.steps import State, up_to
    from pipeline.artifacts.survey import survey
    from pipeline.commands.preflight import preflight

    plan = plan_of(options)
    preflight(plan)
    board = survey(plan)
    until, forced = getattr(options, "until", None), frozenset(getattr(options, "force_step", ()))
    for name in (*sorted(forced), *([until] if until else [])):
        board.spec(name)  # refuses a name that the plan does not have
    decisions = up_to(board.decide(forced), until)
    for decision in decisions:
        place = board.folder(decision.spec.name).uri
        print(f"{decision.state:<5} {decision.spec.name:<20} {decision.reason:<28} {place}")
    todo = sum(d.state is State.TODO for d in decisions)
    print(f"{options.plan} is valid: {todo} of {len(decisions)} steps to make.")
    return 0
