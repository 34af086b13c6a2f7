"""``ufvideo doctor``: examine a plan's sources in a job, and print the findings."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipeline.artifacts.inputs import log_file
from pipeline.artifacts.survey import PlanStatus, survey
from pipeline.commands.plan_argument import add_plan
from pipeline.commands.preflight import refuse_unreachable
from pipeline.errors import UserError
from pipeline.jobs.cluster import interruptible
from pipeline.jobs.display import choose_display
from pipeline.jobs.follower import JobFollower
from pipeline.jobs.runner import write_plan
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location

MODULE = "datasets_prep.doctor"
NAME = "doctor"
FINDINGS, PAGE, TABLE, SUMMARY = "findings.parquet", "doctor.html", "table.txt", "summary.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_plan(parser)
    parser.add_argument(
        "--out", metavar="FOLDER", help="where the report goes; default: doctor/… in the storage root"
    )


def act(options: argparse.Namespace) -> int:
    """Examine the plan's sources and report. The exit code."""
    return doctor(load_plan(options.plan, options.set), options.plan, options.out)


def doctor(plan: Plan, plan_path: str, out_text: str | None = None) -> int:
    """Examine and report. Exit code: 0, 1 where a tolerance is exceeded or the job crashed."""
    refuse_unreachable(plan, out=out_text)
    plan_status = sources_status(plan, plan_path)
    out = report_place(plan, plan_status, out_text)
    plan_file = write_plan(plan, plan_status.root)
    (out / SUMMARY).delete()  # so that a summary found afterwards is this job's
    from pipeline.jobs.server import job_server, module_command, submit_job

    arguments = ["--plan", plan_file.uri, "--out", out.uri]
    print(f"{plan.name}: examining {len(plan.data.sources)} sources", flush=True)
    with (
        interruptible(),
        job_server(plan.ray) as server,
        choose_display([NAME], {NAME: "waiting"}) as display,
    ):
        display.start(NAME)
        follower = JobFollower(display, NAME, lambda _: log_file(plan, f"{NAME}-{out.name}"))
        job = submit_job(server, module_command(MODULE, arguments, embedded=server.embedded))
        follower.note(f"--- job {job}: python -m {MODULE} {' '.join(arguments)}")
        outcome = follower.follow(server, job)
        summary = _read(out)
        if summary is None:
            return follower.fail(outcome)
        display.finish(NAME, "done")
    print(f"\n{(out / TABLE).read_text().rstrip()}\n")
    print(f"Findings: {(out / FINDINGS).uri}")
    print(f"Page:     {(out / PAGE).uri}")
    if summary["ok"]:
        print(f"Next:     ufvideo run {plan_path} --until prepare", flush=True)
        return 0
    print("Next: correct the sources or their entries in the plan, or allow a finding in its doctor section")
    print(f"          (doctor.allow.NAME=SHARE); then ufvideo doctor {plan_path}", flush=True)
    return 1


def sources_status(plan: Plan, plan_path: str) -> PlanStatus:
    """The status of the part of a plan that makes data; the doctor ignores weights and checkpoints.

    Raises UserError for sources in demo corpora that have not been made yet.
    """
    plan_status = survey(plan.model_copy(update={"stages": (), "evaluation": None}))
    if "corpora" in plan_status.artifacts and plan_status.artifacts["corpora"] is None:
        raise UserError(
            f"{plan_path}, data.sources",
            f"are in the plan's demo corpora, which have not been made yet "
            f"({plan_status.folder('corpora').uri}).",
            f"Make them first: ufvideo run {plan_path} --until corpora.",
        )
    return plan_status


def report_place(plan: Plan, plan_status: PlanStatus, out_text: str | None) -> Location:
    """The report's folder: ``out_text``, else one in the storage root that is named after the sources."""
    if out_text:
        return Location.parse(out_text, plan.storage.local_cache)
    return plan_status.root / f"{NAME}/{plan_status.fingerprints['prepare'][:12]}"


def _read(out: Location) -> dict[str, Any] | None:
    try:
        return json.loads((out / SUMMARY).read_text())
    except FileNotFoundError:
        return None
