"""The ``ufvideo`` command."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.plan.plan import Plan
    from pipeline.plan.runtime import RayConfig

_PLAN_HELP = "the plan file (YAML)"
_FOLLOW_EVERY_S = 1.0


def main(argv: list[str] | None = None) -> int:
    """Act on the command line. Exit code: 0, 1 for a failure, 2 for a user's mistake, 130 for Ctrl-C."""
    options = _parser().parse_args(argv)
    options.typed = sys.argv[1:] if argv is None else argv
    from pipeline.errors import UserError

    try:
        return options.act(options)
    except UserError as error:
        from pipeline.jobs.step import print_user_error

        print_user_error(error)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nStopped. What is finished is kept; go on with: ufvideo {' '.join(argv or sys.argv[1:])}",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # `ufvideo … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ufvideo",
        description="From annotated video to scored checkpoints: prepare, train, evaluate, as one plan says.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, act: Callable[[argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_, description=help_)
        command.set_defaults(act=act)
        return command

    def plan_arguments(command: argparse.ArgumentParser) -> None:
        command.add_argument("plan", metavar="PLAN", help=_PLAN_HELP)
        command.add_argument(
            "--set", action="append", default=[], metavar="A.B=C", help="change one value of the plan"
        )

    run = add("run", _run, "Make every step of a plan that is not made yet, and print the result.")
    plan_arguments(run)
    run.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    run.add_argument("--until", metavar="STEP", help="make this step and what it needs, no more")
    run.add_argument(
        "--force-step",
        action="append",
        default=[],
        metavar="STEP",
        help="make this step again even if it is there",
    )
    plan_arguments(add("check", _check, "Validate a plan and say what would be done."))
    doctor = add("doctor", _doctor, "Say what is wrong with a plan's sources, before anything is made.")
    plan_arguments(doctor)
    doctor.add_argument(
        "--out", metavar="FOLDER", help="where the report goes; default: doctor/… in the storage root"
    )
    plan_arguments(
        add("submit", _submit, "Send a whole run to the plan's cluster as one Ray job, and return.")
    )
    status = add("status", _status, "Say where a plan stands, or how a submitted job is doing.")
    status.add_argument(
        "job", nargs="?", metavar="JOB_ID", help="a job's id; without it: the steps of the plan"
    )
    plan_arguments(status)
    logs = add("logs", _logs, "Print what a submitted job, or a step of `ufvideo run`, has printed.")
    logs.add_argument("job", metavar="JOB_ID", help="a job's id, or a step's name")
    plan_arguments(logs)
    logs.add_argument("--follow", action="store_true", help="go on until the job ends, or the step is made")
    check = add("verify", _verify, "Hash an artifact again and compare with its record.")
    check.add_argument(
        "artifact", metavar="ARTIFACT", help="the folder of a finished artifact, local or s3://"
    )
    rebuild = add("rebuild", _rebuild, "Make a dataset again from its own record and compare byte for byte.")
    rebuild.add_argument(
        "artifact", metavar="ARTIFACT", help="the folder of a finished dataset, local or s3://"
    )
    rebuild.add_argument(
        "--into", metavar="FOLDER", help="storage root for the second making; default: runs/rebuild/…"
    )
    from pipeline.commands import predict

    predict.add_arguments(add("predict", _predict, predict.HELP))
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.check:
        return _check(options)
    from pipeline.jobs.runner import run
    from pipeline.plan.load import load_plan

    return run(load_plan(options.plan, options.set), options.plan, options.until, options.force_step)


def _check(options: argparse.Namespace) -> int:
    from pipeline.artifacts.steps import State, up_to
    from pipeline.artifacts.survey import survey
    from pipeline.commands.preflight import preflight
    from pipeline.plan.load import load_plan

    plan = load_plan(options.plan, options.set)
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


def _doctor(options: argparse.Namespace) -> int:
    from pipeline.commands.doctor import doctor
    from pipeline.plan.load import load_plan

    return doctor(load_plan(options.plan, options.set), options.plan, options.out)


def _submit(options: argparse.Namespace) -> int:
    from pipeline.artifacts.survey import survey
    from pipeline.commands.preflight import preflight
    from pipeline.errors import UserError
    from pipeline.jobs import server as jobs
    from pipeline.jobs.runner import write_plan
    from pipeline.plan.load import load_plan

    plan = load_plan(options.plan, options.set)
    preflight(plan)
    board = survey(plan)
    if not plan.ray.elsewhere:
        raise UserError(
            f"{options.plan}, ray",
            "names no cluster to submit to.",
            "Set ray.dashboard to its job server (http://host:8265), or use ufvideo run.",
        )
    plan_file = write_plan(plan, board.root)
    with jobs.job_server(plan.ray) as server:
        command = jobs.module_command("pipeline", ["run", plan_file.uri], embedded=False)
        job = jobs.submit(server, command, {}, {"plan": plan.name})
    print(job)
    print(f"Follow it with: ufvideo logs {job} {options.plan} --follow", file=sys.stderr)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from pipeline.artifacts.verify import verify
    from pipeline.storage.location import Location

    found = verify(Location.parse(options.artifact))
    record = found.artifact.record
    for damage in found.damage:
        print(f"damaged: {damage}")
    if found.damage:
        print(f"{options.artifact} is not what its record says. Make it again: ufvideo run PLAN")
        return 1
    print(f"{options.artifact} is whole: {found.files} files, digest {record.digest[:12]}, {record.kind}.")
    return 0


def _rebuild(options: argparse.Namespace) -> int:
    from pipeline.artifacts.rebuild import check_inputs, compare, plan_of
    from pipeline.artifacts.survey import survey
    from pipeline.artifacts.verify import open_artifact
    from pipeline.jobs.runner import run
    from pipeline.storage.location import Location

    made = open_artifact(Location.parse(options.artifact))
    into = Location.parse(options.into or f"runs/rebuild/{made.record.fingerprint[:12]}")
    plan = plan_of(made, into)
    check_inputs(made, survey(plan))
    if code := run(plan, "PLAN", made.record.step, [made.record.step], quiet=True):
        return code
    found = compare(made, plan)
    for difference in found.differences:
        print(f"differs: {difference}")
    if found.differences:
        print(f"{options.artifact} does not come out the same. The second making: {found.again.location.uri}")
        return 1
    print(f"identical: digest {made.record.digest[:12]}, made again in {found.again.location.uri}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from pipeline.commands.predict import predict

    return predict(options, options.typed[1:])


def _status(options: argparse.Namespace) -> int:
    from pipeline.artifacts.notices import missing_media
    from pipeline.artifacts.survey import survey
    from pipeline.plan.load import load_plan

    plan = load_plan(options.plan, options.set)
    if options.job:
        from pipeline.jobs import server as jobs

        with jobs.job_server(_cluster_of(plan)) as server:
            info = jobs.info(server, options.job)
        print(f"{options.job}: {info.status.value.lower()}  {info.message or ''}".rstrip())
        return 0
    board = survey(plan)
    decisions = board.decide()
    for decision in decisions:
        made = board.found[decision.spec.name]
        counts = (
            "  ".join(f"{k} {v}" for k, v in made.record.summary.items() if isinstance(v, int | float | str))
            if made
            else ""
        )
        took = f"{made.record.seconds:.0f} s" if made else ""
        line = f"{decision.state:<5} {decision.spec.name:<20} {decision.reason:<26} {took:>7}  {counts[:100]}"
        print(line.rstrip())
    for note in missing_media(plan, board, decisions):
        print(note)
    return 0


def _logs(options: argparse.Namespace) -> int:
    from pipeline.artifacts import record as artifact
    from pipeline.artifacts.survey import survey
    from pipeline.errors import UserError
    from pipeline.jobs.runner import log_path
    from pipeline.plan.load import load_plan

    plan = load_plan(options.plan, options.set)
    board = survey(plan)
    if any(s.name == options.job for s in board.specs):
        path = log_path(plan, board, options.job)
        if not path.exists():
            raise UserError(
                f"step {options.job}",
                f"has no log here ({path}).",
                "Only steps that `ufvideo run` started have one.",
            )
        _print_log(
            path, (lambda: artifact.load(board.folder(options.job)) is None) if options.follow else None
        )
        return 0
    from pipeline.jobs import progress
    from pipeline.jobs import server as jobs

    with jobs.job_server(_cluster_of(plan)) as server:
        jobs.info(server, options.job)
        lines: Iterable[str] = jobs.printed(server, options.job)
        if options.follow:
            lines = jobs.follow(server, options.job, stops=False)
        for line in lines:
            if progress.parse(line) is None:
                print(line, flush=True)
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


def _cluster_of(plan: Plan) -> RayConfig:
    from pipeline.errors import UserError

    if not plan.ray.elsewhere:
        raise UserError(
            "ray",
            "the plan names no cluster, so there are no submitted jobs.",
            "Give a step's name, or set ray.dashboard.",
        )
    return plan.ray
