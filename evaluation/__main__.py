"""``python -m evaluation --plan PLAN [--step evaluate-NAME | --step report]``."""

from __future__ import annotations

import sys

from evaluation.run import evaluate, report
from pipeline.jobs.step import run_step
from pipeline.without_pandas import let_arrow_do_without

if __name__ == "__main__":
    let_arrow_do_without()
    sys.exit(run_step("evaluation", {"evaluate": evaluate, "report": report}))
