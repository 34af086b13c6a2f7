"""``python -m evaluation.score``: what ``ufvideo score`` runs."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from evaluation.score import ref_davis
from evaluation.score.fingerprint import identified
from evaluation.score.judged import judge_of
from evaluation.score.output import chosen_rows, content, progress_apart, show, write
from evaluation.score.run import known_benchmark, score
from evaluation.spans import SpanRules
from pipeline.commands.score import MASKS, add_arguments
from pipeline.errors import UserError
from pipeline.jobs.step import guarded
from pipeline.storage.location import Location
from pipeline.times.temporal import Outside
from pipeline.times.text import Form


def main(argv: list[str] | None = None) -> int:
    """Exit code 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="ufvideo score")
    add_arguments(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if options.benchmark == MASKS:
        from evaluation.score.png_pairs import run

        judge_of(options, None)
        return run(options)
    benchmark = known_benchmark(options.benchmark)
    protocols = list(dict.fromkeys(metric.protocol for metric in benchmark.metrics))
    if options.protocol is not None and options.protocol not in protocols:
        raise UserError(
            f"--protocol {options.protocol}",
            f"is not one of {benchmark.title}.",
            f"Choose {', '.join(protocols)}, or leave it out for all.",
        )
    rules = SpanRules(
        bare=Form(options.bare_times) if options.bare_times else None,
        outside=Outside.CLAMP if options.clamp_times else Outside.REFUSE,
    )
    judge = judge_of(options, benchmark)
    truth, predictions = Path(options.truth), Path(options.predictions)
    for name, place in (("--truth", truth), ("--predictions", predictions)):
        if not place.exists():
            raise UserError(str(place), "does not exist.", f"Correct {name}.")
    if options.out and Path(options.out).is_file():
        raise UserError(f"--out {options.out}", "is a file.", "Name a folder.")
    masks = Path(options.masks) if options.masks else None
    if masks is not None and benchmark.name == ref_davis.FAMILY:
        raise UserError(
            f"--masks {options.masks}",
            "is not read: the label images are the truth.",
            "Leave it out, and name the DAVIS folder, or one of label images, as --truth.",
        )
    with progress_apart(options.json):
        if benchmark.name == ref_davis.FAMILY:
            scored = ref_davis.score(truth, predictions)
        else:
            scored = score(
                benchmark,
                truth,
                predictions,
                masks=masks,
                rules=rules,
                judge=judge,
                judge_cache=options.judge_cache,
            )
    rows = identified(scored.rows, benchmark, rules, (truth, masks, predictions))
    rows = chosen_rows(rows, options.protocol)
    made_from = {"truth": options.truth, "predictions": options.predictions}
    if options.out:
        write(Location.parse(options.out), scored, rows, made_from)
    if options.json:
        print(json.dumps(content(scored, rows, made_from), indent=1, ensure_ascii=False))
        return 0
    show(scored, rows)
    if options.out:
        print(f"{options.out}: metrics.json, scores.parquet, problems.json")
        print(f"Next: ufvideo compare {shlex.quote(options.out)} ANOTHER_FOLDER")
    else:
        print("Next: the same with --out FOLDER, which keeps every sample's score for ufvideo compare")
    return 0


if __name__ == "__main__":
    sys.exit(main())
