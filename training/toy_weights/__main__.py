"""``python -m training.toy_weights OUT``: makes the weights that ``plans/demo.yaml`` starts from."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.toy_weights.make import FILES, OUTLINE_STEPS, READ_STEPS, SEE_STEPS, make


def main() -> None:
    """Parse the command line and make the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.toy_weights", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the weights; files of earlier ones are replaced")
    parser.add_argument("--plan", default="plans/demo.yaml", help="the plan whose model they must fit")
    parser.add_argument("--see-steps", type=int, default=SEE_STEPS)
    parser.add_argument("--outline-steps", type=int, default=OUTLINE_STEPS)
    parser.add_argument("--read-steps", type=int, default=READ_STEPS)
    parser.add_argument("--only", nargs="+", choices=FILES, default=FILES, help="make these, keep the others")
    given = parser.parse_args()
    make(
        given.out,
        given.plan,
        see_steps=given.see_steps,
        outline_steps=given.outline_steps,
        read_steps=given.read_steps,
        only=given.only,
    )


if __name__ == "__main__":
    main()
