"""``python -m tests.golden [--write] [NAME ...]``: compare results with their pins, or pin them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.golden import pins
from tests.golden.small_runs import RUNS


def main() -> int:
    """Exit code 1 if something differs from its pin, or may not be pinned."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RUNS)}; default: all")
    parser.add_argument("--write", action="store_true", help="pin the results of the current code")
    parser.add_argument(
        "--same-revision",
        action="store_true",
        help="pin another result under the same REVISION: where it was raised since the last release "
        "already, or where only the small run itself has changed",
    )
    options = parser.parse_args()
    faults = 0
    for name in options.names or RUNS:
        run, revision = RUNS[name]
        with tempfile.TemporaryDirectory(prefix="ufvideo-golden-") as folder:
            result = pins.as_stored(run(Path(folder)))
        try:
            pinned = pins.read(name)
        except FileNotFoundError:
            pinned = None
        found = [] if pinned is None else list(pins.differences(pinned["result"], result))
        for line in found[:20]:
            print(f"{name}: {line}")
        if not options.write:
            faults += bool(found) or pinned is None
        elif found and pinned is not None and pinned["revision"] == revision and not options.same_revision:
            print(f"{name}: not pinned: raise its REVISION in pipeline/artifacts/steps.py first")
            faults += 1
        elif found or pinned is None or pinned["revision"] != revision:
            pins.write(name, revision, result)
            print(f"{name}: pinned")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
