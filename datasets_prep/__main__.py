"""``python -m datasets_prep --plan PLAN``: the steps that make data."""

from __future__ import annotations

import sys

from datasets_prep.corpora import corpora
from datasets_prep.run import prepare
from pipeline.jobs.step import run_step

if __name__ == "__main__":
    sys.exit(run_step("datasets_prep", {"corpora": corpora, "prepare": prepare}))
