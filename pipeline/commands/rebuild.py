"""``ufvideo rebuild``."""

from __future__ import annotations

import argparse

from pipeline.commands.completers import completed, folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    artifact = parser.add_argument(
        "artifact", metavar="ARTIFACT", help="the folder of a finished dataset, local or s3://"
    )
    completed(artifact, folders)
    parser.add_argument(
        "--into", metavar="FOLDER", help="storage root for the new copy; default: runs/rebuild/…"
    )


def act(options: argparse.Namespace) -> int:
    """Make the artifact again elsewhere and compare. Exit code: 1 if the copy differs."""
    from pipeline.artifacts.rebuild import check_inputs, compare, plan_of
    from pipeline.artifacts.survey import survey
    from pipeline.artifacts.verify import open_artifact
    from pipeline.commands.preflight import preflight
    from pipeline.jobs.runner import run
    from pipeline.storage.location import Location

    made = open_artifact(Location.parse(options.artifact))
    into = Location.parse(options.into or f"runs/rebuild/{made.record.fingerprint[:12]}")
    plan = plan_of(made, into)
    check_inputs(made, survey(plan))
    preflight(plan)
    if code := run(plan, "PLAN", made.record.step, [made.record.step], quiet=True):
        return code
    comparison = compare(made, plan)
    for difference in comparison.differences:
        print(f"differs: {difference}")
    again = comparison.again.location.uri
    if comparison.differences:
        print(f"{options.artifact} differs from the new copy: {again}")
        return 1
    print(f"identical: digest {made.record.digest[:12]}, made again in {again}")
    print(f"Next: delete {into.uri}, which is not needed any more")
    return 0
