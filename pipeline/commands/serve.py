"""``ufvideo serve``: its arguments, and the process that holds the model and serves the page."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from pipeline.commands.completers import completed, folders
from pipeline.commands.own_process import run_module
from pipeline.commands.predict import (
    EVERY_FRAME_UP_TO,
    add_checkpoint,
    add_model_arguments,
    check_model_arguments,
)
from pipeline.errors import UserError

MODULE = "evaluation.serve"
HOST, PORT = "127.0.0.1", 8000
MAX_MB, MAX_MINUTES = 500.0, 10.0

_DETAILS = f"""\
The page is for this machine alone: it listens on {HOST} and has no password. From another machine, open a
tunnel (ssh -L {PORT}:{HOST}:{PORT} MACHINE) and the same address in your browser there.

Uploaded videos lie in a folder of their own and are removed when the command ends. Masks are made on
every frame of a video of up to {EVERY_FRAME_UP_TO} frames, on {EVERY_FRAME_UP_TO} evenly spread frames of a
longer one.

  ufvideo serve runs/demo/stage2/FINGERPRINT
  ufvideo serve CHECKPOINT --videos my/videos --port 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _DETAILS
    add_checkpoint(parser)
    videos = parser.add_argument(
        "--videos", metavar="FOLDER", help="offer the video files of this folder on the page"
    )
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help="default: %(default)s; 0: any that is free"
    )
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help="the address to listen on (default: %(default)s, this machine alone)",
    )
    parser.add_argument(
        "--max-mb",
        type=float,
        default=MAX_MB,
        metavar="MB",
        help="largest upload, in megabytes of 1,000,000 bytes (default: %(default)g)",
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=MAX_MINUTES,
        metavar="N",
        help="longest video (default: %(default)g)",
    )
    uploads = parser.add_argument(
        "--upload-folder",
        metavar="FOLDER",
        help="make the folder of uploads in this one; default: the system's folder for temporary files",
    )
    completed(videos, folders)
    completed(uploads, folders)
    add_model_arguments(parser)


def check(options: argparse.Namespace) -> None:
    """Check the arguments that can be checked without the model. Raises UserError for a wrong one."""
    check_model_arguments(options)
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port {options.port}", "is not a port.", "Give 1 to 65535, or 0 for a free one.")
    for name in ("max_mb", "max_minutes"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"--{name.replace('_', '-')} {value:g}", "lets no video in.", "Give more than 0.")
    for name in ("videos", "upload_folder"):
        folder = getattr(options, name)
        if folder is not None and not Path(folder).is_dir():
            raise UserError(
                f"--{name.replace('_', '-')} {folder}", "is not a folder.", "Give a folder of this machine."
            )


def act(options: argparse.Namespace) -> int:
    """Run the process that serves, with this terminal, once the arguments are valid. Its exit code."""
    check(options)
    return run_module(MODULE, options.typed[1:])
