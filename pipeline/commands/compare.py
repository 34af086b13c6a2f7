"""``ufvideo compare``: its arguments; the work is done by ``python -m evaluation.compare``."""

from __future__ import annotations

import argparse
import os
import sys

MODULE = "evaluation.compare"
_DETAILS = """\
A and B are folders of evaluations, folders that `ufvideo score --out` has written, or scores.parquet files.
Differences are B minus A over the samples that both have, with an interval in which the videos are the draws.

  ufvideo compare scores/mine scores/theirs
  ufvideo compare runs/evaluate-stage1-1f2e3d4c runs/evaluate-stage2-5b6a7c8d --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _DETAILS
    parser.add_argument("a", metavar="A", help="scores of one model")
    parser.add_argument("b", metavar="B", help="scores of the other, on the same samples")
    parser.add_argument(
        "--all",
        action="store_true",
        help="other protocols and every type of question, not the headlines alone",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def act(options: argparse.Namespace) -> int:
    """Become the process that compares."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", MODULE, *options.typed[1:]])
