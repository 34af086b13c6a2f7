"""``python -m evaluation.predict``: the process behind ``ufvideo predict``."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from pipeline import progress
from pipeline.commands.cli import COMMANDS
from pipeline.commands.predict import add_arguments, check
from pipeline.jobs.guard import guarded
from pipeline.times.temporal import with_seconds

if TYPE_CHECKING:
    from evaluation.predict.answer import Answer, SavedAnswer


_STEM = 60
"""Letters of a video's name in the folder's: a name of 255 bytes is the most that disks take."""


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one question. Exit code: 0, 1 for a crash, 2 for a user's mistake, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="ufvideo predict", description=COMMANDS["predict"])
    add_arguments(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: _predict(options))


def _predict(options: argparse.Namespace) -> int:
    check(options)
    quiet()
    with redirect_stdout(sys.stderr):  # progress is not part of the answer
        answer, saved = _ask(options)
    try:
        print(*lines(answer, saved), sep="\n", flush=True)
        print(_next(options, saved), file=sys.stderr, flush=True)
    except BrokenPipeError:  # `ufvideo predict … | head -1`; the files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _ask(options: argparse.Namespace) -> tuple[Answer, SavedAnswer]:
    """Everything that can be refused is, before the weights are read."""
    from evaluation.predict.answer import holds_same, refuse_unwritable
    from evaluation.predict.ask import load_checkpoint
    from evaluation.predict.files import has_overlay
    from pipeline.storage.location import Location

    model = load_checkpoint(
        options.checkpoint,
        device=options.device,
        max_new_tokens=options.max_new_tokens,
        seg_state=options.seg_state,
        prompted_frames=options.prompted_frames,
    )
    question = model.check(options.video, options.question, regions=options.regions, frames=options.frames)
    stem = question.clip.ref.path if question.clip.ref.frames else question.clip.path.stem
    folder = Location.parse(options.out or f"predictions/{stem[:_STEM]}-{question.identity[:8]}")
    holds_same(folder, question.identity)
    refuse_unwritable(folder)
    with progress.track("load", 1) as bar:
        _ = model.predictor
        bar.done = 1  # shown as it ends
    with progress.track("answer") as bar:

        def segmented(done: int) -> None:
            bar.total = len(question.frames)
            bar.update(done)

        answer = model.answer(question, segmented)
        if not answer.masks:
            bar.done = 1
    if not has_overlay(question, answer.masks, answer.spans):
        return answer, answer.save(folder.uri)
    with progress.track("overlay", len(question.frames)) as bar:
        return answer, answer.save(folder.uri, bar.update)


def lines(answer: Answer, saved: SavedAnswer) -> Iterator[str]:
    """What the command prints: the answer, its spans, a line for each mask, notes, and the folder."""
    yield with_seconds(answer.text, answer.question.clip.ref.duration_s)
    yield ""
    for number, span in enumerate(answer.spans, 1):
        yield f"span {number}: {span.start_s:.2f} s to {span.end_s:.2f} s"
    for number, track in enumerate(answer.masks, 1):
        visible, share = answer.coverage(track)
        covers = f", {100 * share:.1f} % of the picture on average there" if visible else ""
        count = len(track.frames)
        frames = f"{visible} of {count} segmented frames"
        yield f"object {number}: visible on {frames}{covers}; masks/object-{number}"
    ref = answer.question.clip.ref
    if answer.masks and len(answer.question.frames) < ref.num_frames:
        yield (
            f"note: {len(answer.question.frames)} of the video's {ref.num_frames} frames were segmented "
            "(--frames all for every one)."
        )
    yield from (f"note: {note}" for note in answer.notes)
    files = ", ".join(name for name in saved.files if "/" not in name)
    again = " (replaced: the same question was answered before)" if saved.replaced else ""
    yield f"{saved.folder.uri}: {files}{again}"


def _next(options: argparse.Namespace, saved: SavedAnswer) -> str:
    from evaluation.predict.files import OVERLAY

    if OVERLAY in saved.files:
        return f"Next: open {saved.folder.uri}/{OVERLAY}"
    return f"Next: ufvideo predict {shlex.join([options.checkpoint, options.video])} ANOTHER_QUESTION"


def quiet() -> None:
    """Silences warnings that a user cannot act on."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    for name in ("transformers", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
