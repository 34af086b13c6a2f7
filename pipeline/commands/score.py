"""``ufvideo score``: its arguments; the work is done by ``python -m evaluation.score``."""

from __future__ import annotations

import argparse
import os
import sys

from pipeline.commands.completers import benchmarks_with_truth, completed, nothing

MODULE = "evaluation.score"
MASKS = "masks"
_DETAILS = """\
Truth is the benchmark's own annotation file or folder. Predictions may be JSON or JSON lines, a folder of
them, {video: {query: {start, end}}}, lmms-eval's logs of samples, COCO RLE as JSON, PNG masks in
VIDEO/EXPRESSION/FRAME.png (a folder or a submission's zip), or a folder below answers/ of this project.
docs/scoring.md says which names of fields are known.

  ufvideo score charades_sta --truth charades_sta_test.txt --predictions results.json
  ufvideo score mevis --truth valid_u --predictions masks.zip --out scores/mine
  ufvideo score ref_davis --truth DAVIS --predictions results  (anno_0 to anno_3, or VIDEO/EXPRESSION)
  ufvideo score videorefer_bench_d --truth VideoRefer-Bench-D.json --predictions answers.jsonl \\
      --judge-url https://api.openai.com/v1 --judge-model gpt-4o-2024-08-06
  ufvideo score masks --truth DAVIS/Annotations/480p --predictions results
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _DETAILS
    benchmark = parser.add_argument(
        "benchmark", metavar="BENCHMARK", help="a benchmark family, or masks for any two trees of PNG files"
    )
    completed(benchmark, lambda prefix, **more: [*benchmarks_with_truth(prefix), MASKS])
    parser.add_argument("--truth", required=True, metavar="PATH", help="the benchmark's own annotations")
    parser.add_argument("--predictions", required=True, metavar="PATH", help="what a model predicted")
    parser.add_argument(
        "--masks", metavar="PATH", help="true masks, where they are not beside the annotations"
    )
    protocol = parser.add_argument(
        "--protocol", metavar="NAME", help="one protocol; default: all of the benchmark"
    )
    completed(protocol, nothing)
    parser.add_argument(
        "--bare-times",
        choices=("seconds", "fractions", "percents", "frames"),
        help="what a number without a unit counts in an answer that names a time",
    )
    parser.add_argument(
        "--clamp-times", action="store_true", help="cut an answer's time at the end of the video"
    )
    judge = parser.add_argument_group(
        "judge", "a language model that marks texts, where a benchmark has them"
    )
    judge.add_argument(
        "--judge-url", metavar="URL", help="an OpenAI-compatible endpoint, such as https://api.openai.com/v1"
    )
    judge.add_argument("--judge-model", metavar="NAME", help="default: gpt-4o-2024-08-06, as published")
    judge.add_argument(
        "--judge-cache",
        metavar="FOLDER",
        help="judgements are kept in judgements/ of this folder (default: the current one) and not asked for "
        "again, as in the storage root of a plan. Without --judge-url only stored judgements are used",
    )
    judge.add_argument(
        "--judge-key-variable",
        metavar="NAME",
        help='environment variable with the key; "": the endpoint needs none; default: OPENAI_API_KEY',
    )
    judge.add_argument(
        "--judge-instructions", metavar="FILE", help="instructions for the judge; default: this project's"
    )
    judge.add_argument(
        "--judge-tokens", type=int, metavar="N", help="stop before more tokens are used; default: no limit"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--out", metavar="FOLDER", help="keep metrics.json, scores.parquet and problems.json")


def act(options: argparse.Namespace) -> int:
    """Become the process that scores."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", MODULE, *options.typed[1:]])
