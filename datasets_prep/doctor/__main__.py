"""``python -m datasets_prep.doctor --plan PLAN``: the work of ``ufvideo doctor``, without the job server."""

from __future__ import annotations

import argparse
import sys

from datasets_prep.doctor.examine import examine
from datasets_prep.doctor.write import clear, write
from pipeline.commands.doctor import TABLE, report_place, sources_status
from pipeline.jobs.cluster import connect
from pipeline.jobs.guard import guarded
from pipeline.jobs.step import make_context
from pipeline.plan.load import load_plan


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0, 1 where a tolerance of the plan is passed (or for a crash), 2 for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_prep.doctor", description="Say what is wrong with a plan's sources."
    )
    parser.add_argument("--plan", required=True, help="the plan file (YAML)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one value of it")
    parser.add_argument("--out", metavar="FOLDER", help="default: doctor/… in the storage root")
    options = parser.parse_args(argv)
    return guarded(lambda: _doctor(options.plan, options.set, options.out))


def _doctor(path: str, sets: list[str], out_text: str | None) -> int:
    plan = load_plan(path, sets)
    plan_status = sources_status(plan, path)
    out = report_place(plan, plan_status, out_text)
    context = make_context(plan, "prepare", plan_status)
    clear(out)
    with connect(plan.ray):
        found = examine(plan.data, plan.doctor, context.resolve, context.seed)
    summary = write(plan, found, out)
    print((out / TABLE).read_text(), flush=True)
    print(f"report: {out.uri}", flush=True)
    return 0 if summary.ok else 1


if __name__ == "__main__":
    sys.exit(main())
