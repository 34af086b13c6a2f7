"""``ufvideo export``: its arguments; the work is done by a module of the step that made the artifact."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable

from pipeline.commands.completers import completed, folders

CHECKPOINT, DATASET = "training.export", "datasets_prep.export"
SHARD_MB = 512
_DETAILS = """\
A checkpoint (the folder of init or of a stage) is written in the published layout: sharded safetensors,
config.json, tokenizer, and a model card with the digests of its data and what loads it. A dataset (the folder
of prepare) is written as WebDataset: tar shards with the samples of a video as JSON and the video itself or
some of its frames, and index.json with sizes and digests. docs/guides/export.md has both.

  ufvideo export runs/demo/stage2/FINGERPRINT exported --scores runs/demo/evaluate-stage2/FINGERPRINT
  ufvideo export runs/demo/stage2/FINGERPRINT exported --push ORG/NAME    (the token: HF_TOKEN)
  ufvideo export runs/demo/prepare/FINGERPRINT shards --frames 16
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _DETAILS
    artifact = parser.add_argument(
        "artifact", metavar="ARTIFACT", help="the folder of a checkpoint or of a dataset, local or s3://"
    )
    completed(artifact, folders)
    parser.add_argument("out", metavar="OUT", help="folder to make")
    group = parser.add_argument_group("of a checkpoint")
    group.add_argument(
        "--scores",
        action="append",
        default=[],
        metavar="FOLDER",
        help="an evaluation of it, whose numbers the card shows; may be given several times",
    )
    group.add_argument(
        "--language-only", action="store_true", help="a plain Qwen2 folder, without what sees and segments"
    )
    group.add_argument("--push", metavar="ORG/NAME", help="push OUT to this repository of the hub as well")
    group.add_argument("--public", action="store_true", help="make the repository public; default: private")
    group = parser.add_argument_group("of a dataset")
    group.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME",
        help="only this source; may be given several times; default: all",
    )
    group.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="N evenly spread frames as JPEG; default: the video itself",
    )
    group.add_argument(
        "--shard-mb",
        type=int,
        metavar="N",
        help=f"size at which a shard ends; default: {SHARD_MB}",
    )


def refuse_others(options: argparse.Namespace, names: Iterable[str], kind: str) -> None:
    """Raise UserError for an option that is not one of this kind of artifact."""
    from pipeline.errors import UserError

    for name in names:
        if getattr(options, name):
            typed = f"--{name.replace('_', '-')}"
            raise UserError(typed, f"is not for a {kind}.", f"{options.artifact} is one; leave it out.")


def act(options: argparse.Namespace) -> int:
    """Become the process that exports."""
    from pipeline.artifacts.record import load_artifact
    from pipeline.artifacts.steps import Kind
    from pipeline.storage.location import Location

    made = load_artifact(Location.parse(options.artifact))
    module = DATASET if made is not None and made.record.kind == Kind.PREPARE else CHECKPOINT
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *options.typed[1:]])
