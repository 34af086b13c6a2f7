"""``python -m training --plan PLAN [--step init|STAGE]``."""

from __future__ import annotations

import sys

from pipeline.jobs.step import run_step
from training.run import init, stage

if __name__ == "__main__":
    sys.exit(run_step("training", {"init": init, "stage": stage}))
