"""``ufvideo verify``."""

from __future__ import annotations

import argparse
import shlex

from pipeline.commands.completers import completed, folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    artifact = parser.add_argument(
        "artifact", metavar="ARTIFACT", help="the folder of a finished artifact, local or s3://"
    )
    completed(artifact, folders)


def act(options: argparse.Namespace) -> int:
    """Hash the artifact and print what is damaged. Exit code: 1 for a damaged one."""
    from pipeline.artifacts.steps import Kind
    from pipeline.artifacts.verify import verify
    from pipeline.storage.location import Location

    verdict = verify(Location.parse(options.artifact))
    record = verdict.artifact.record
    for damage in verdict.damage:
        print(f"damaged: {damage}")
    if verdict.damage:
        print(f"{options.artifact} does not match its record.")
        print(f"Next: ufvideo run PLAN --force-step {record.step}")
        return 1
    print(f"{options.artifact} is intact: {verdict.files} files, digest {record.digest[:12]}, {record.kind}.")
    if record.kind in (Kind.INIT, Kind.STAGE):
        print(f"Next: ufvideo predict {shlex.quote(options.artifact)} VIDEO QUESTION")
    else:
        print(f"Next: ufvideo rebuild {shlex.quote(options.artifact)}")
    return 0
