"""``ufvideo check``."""

from __future__ import annotations

import argparse
from itertools import chain

from pipeline.commands.completers import completed, nothing
from pipeline.commands.plan_argument import add_plan, typed_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_plan(parser)
    for name, metavar, help_ in (
        ("--gpu-gb", "GB", "memory of one GPU: say which stages fit, and which other layouts would"),
        ("--samples-per-s", "N", "throughput of a stage, all its workers together: say how long it takes"),
        ("--gpu-hour", "PRICE", "price of a GPU hour, with --samples-per-s: say what a stage costs"),
    ):
        completed(parser.add_argument(name, metavar=metavar, type=positive, help=help_), nothing)


def positive(text: str) -> float:
    """The number that was typed. Raises ValueError if it is not positive."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def act(options: argparse.Namespace) -> int:
    """Refuse what cannot work, or print what a run would do. The exit code."""
    from pipeline.artifacts.steps import State, steps_up_to, up_to
    from pipeline.artifacts.survey import survey
    from pipeline.commands.estimated import Given, estimate_lines
    from pipeline.commands.hidden_truth import hidden_lines
    from pipeline.commands.preflight import preflight, refuse_steps
    from pipeline.commands.start_checkpoints import start_lines
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
    stated = ("gpu_gb", "samples_per_s", "gpu_hour")
    given = Given(**{name: getattr(options, name, None) for name in stated})
    dataset = plan_status.artifacts.get("prepare")
    notes = (
        start_lines(file.plan, dataset),
        uneven_lines(file.plan),
        hidden_lines(file.plan),
        unscored_lines(file.plan),
        estimate_lines(file.plan, given, dataset, {d.spec.name for d in decisions}),
    )
    for line in chain.from_iterable(notes):
        print(line)
    todo = sum(d.state is State.TODO for d in decisions)
    print(f"{options.plan} is valid: {todo} of {len(decisions)} steps to make.")
    typed = typed_plan(options) + (f" --until {until}" if until else "")
    if line := next_command(typed, plan_status, decisions):
        print(line)
    return 0
