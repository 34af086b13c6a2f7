"""``python -m evaluation.compare``: what ``ufvideo compare`` runs."""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from evaluation.compare.difference import differences
from evaluation.compare.output import content, show
from evaluation.compare.pair import pair_sides
from evaluation.compare.side import read_side
from pipeline.commands.compare import add_arguments
from pipeline.jobs.step import guarded


def main(argv: list[str] | None = None) -> int:
    """Exit code 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="ufvideo compare")
    add_arguments(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    a, b = read_side(options.a), read_side(options.b)
    pairs, notes = pair_sides(a, b)
    found = [one for pair in pairs for one in differences(pair, headlines=not options.all)]
    if options.json:
        print(json.dumps(content(a, b, pairs, found, notes), indent=1, ensure_ascii=False))
    else:
        show(a, b, pairs, found, notes)
        if not options.all:
            print(f"Next: ufvideo compare {shlex.join([options.a, options.b])} --all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
