"""``ufvideo predict``: its arguments, and the process that answers the question."""

from __future__ import annotations

import argparse
from functools import partial

from pipeline.commands.completers import completed, folders, nothing
from pipeline.commands.own_process import run_module
from pipeline.errors import UserError
from pipeline.media.pointing import parse_region

MODULE = "evaluation.predict"
EVERY_FRAME_UP_TO = 300
"""Without ``--frames``, every frame of a shorter video is segmented, and so many of a longer one."""
MAX_NEW_TOKENS = 512
SEG_STATES = ("predicting", "published")  # of SegState, which is not imported to keep help quick

_DETAILS = f"""\
FRAME is a frame number from 0 (12) or a time with its unit (3.5s). Coordinates are pixels of the video.
The question needs one <region> for each box, point or mask, in the order in which they are given.
A box becomes a rectangular mask. A point becomes a disc whose radius is half the diagonal of one of the
patches that the model sees: the frame's diagonal / (2 x patches per side), 1.9 % of it for the published
model. A mask is an image of the video's size; pixels that are neither black nor transparent are inside.

Masks are made on every frame of a video of up to {EVERY_FRAME_UP_TO} frames, on {EVERY_FRAME_UP_TO} evenly
spread frames of a longer one, and on the frames of the regions. The overlay shows these frames, each until
the next.

  ufvideo predict runs/demo/stage2/FINGERPRINT clip.mp4 "Can you segment the red ball in this video?"
  ufvideo predict CHECKPOINT clip.mp4 "What does <region> do?" --box 3.5s:40,30,90,80
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command. ``regions`` holds all of them in the order in which they were typed."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _DETAILS
    add_checkpoint(parser)
    parser.add_argument("video", metavar="VIDEO", help="a video file, or a folder of frames")
    question = parser.add_argument("question", metavar="QUESTION", help="what to ask, as one argument")
    completed(question, nothing)
    for kind, form, meaning in (
        ("box", "FRAME:X1,Y1,X2,Y2", "point at a rectangle"),
        ("point", "FRAME:X,Y", "point at a spot"),
        ("mask", "FRAME:FILE", "point at the inside of a mask"),
    ):
        parser.add_argument(
            f"--{kind}",
            dest="regions",
            action="append",
            type=partial(_typed, kind),
            default=[],
            metavar=form,
            help=f"{meaning}; may be given several times",
        )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where the files go; default: predictions/VIDEO-HASH, named by the question",
    )
    add_model_arguments(parser)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The argument CHECKPOINT."""
    checkpoint = parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="the folder of a stage's artifact or of init; or weights with their tokenizer, in a folder or "
        "on the hub (hf://org/name); folders may be s3://",
    )
    completed(checkpoint, folders)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how a checkpoint answers, which `ufvideo serve` has too."""
    parser.add_argument(
        "--frames", metavar="N|all", help="segment N evenly spread frames, or all; default: see below"
    )
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=MAX_NEW_TOKENS,
        metavar="N",
        help="length at which an answer is cut off (default: %(default)s)",
    )
    parser.add_argument(
        "--seg-state",
        choices=SEG_STATES,
        default=SEG_STATES[0],
        help="the hidden state from which a mask is computed (default: %(default)s, as in training)",
    )
    parser.add_argument(
        "--prompted-frames",
        type=int,
        metavar="N",
        help="prompt N frames and let SAM 2's memory propagate their masks to the others; default: "
        "prompt all",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one"
    )


def _typed(kind: str, text: str) -> tuple[str, str]:
    return kind, text


def check(options: argparse.Namespace) -> None:
    """Check the arguments that can be checked without the model, and replace texts by their values.

    Raises UserError for an invalid region, number of frames or number of tokens.
    """
    options.regions = tuple(parse_region(kind, text) for kind, text in options.regions)
    check_model_arguments(options)


def check_model_arguments(options: argparse.Namespace) -> None:
    """``check`` for the options of ``add_model_arguments``."""
    if options.frames not in (None, "all"):
        if not (options.frames.isdecimal() and int(options.frames)):
            raise UserError(
                f"--frames {options.frames}", "is not a number of frames.", "Give 1 or more, or all."
            )
        options.frames = int(options.frames)
    if options.prompted_frames is not None and options.prompted_frames < 1:
        raise UserError(f"--prompted-frames {options.prompted_frames}", "leaves no mask.", "Give 1 or more.")
    if options.max_new_tokens < 1:
        raise UserError(f"--max-new-tokens {options.max_new_tokens}", "leaves no answer.", "Give 1 or more.")


def act(options: argparse.Namespace) -> int:
    """Run the process that answers, with this terminal, once the arguments are valid. Its exit code."""
    typed = options.typed[1:]
    check(options)
    return run_module(MODULE, typed)
