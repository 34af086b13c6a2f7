"""A saved state for another number of workers than wrote it, by DeepSpeed's universal checkpoints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from typing import Final

from pipeline.errors import UserError
from training.stage.gathered import of_all_workers

_PARTS: Final = "*zero_pp_rank_*_optim_states.pt"
_STATE: Final = "state"
_PROCESSES: Final = 4  # that read parts, or write weights, at the same time


def saved_workers(folder: Path) -> int:
    """The number of workers that wrote a state."""
    return len(list(folder.glob(_PARTS)))


@contextmanager
def universal(folder: Path) -> Iterator[Path]:
    """Inside, a folder with the state ``folder`` converted, weight by weight, for any number of workers.

    Every worker calls it. One on each machine converts, into a temporary folder (``TMPDIR``) that needs
    about twice the state's size. Raises UserError if one of them could not.
    """
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    scratch = tempfile.mkdtemp(prefix="ufvideo-universal-") if first else ""
    try:
        problem = _convert(folder, Path(scratch, _STATE)) if first else ""
        answers = of_all_workers((gethostname(), scratch, problem))
        if problem := next(filter(None, (problem for _, _, problem in answers)), ""):
            raise UserError(
                "the saved state",
                f"cannot be converted to another number of workers: {problem}.",
                "Go on with the number of workers that wrote it.",
            )
        yield Path({host: made for host, made, _ in answers if made}[gethostname()], _STATE)
        of_all_workers(None)  # all have read it
    finally:
        if first:
            shutil.rmtree(scratch, ignore_errors=True)


def _convert(folder: Path, out: Path) -> str:
    """Convert a state; returns why that failed, or nothing.

    In a process of its own, because DeepSpeed forks others, which a process with threads must not.
    """
    processes = str(min(_PROCESSES, os.cpu_count() or 1))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"),
            *("--input_folder", str(folder), "--output_folder", str(out)),
            *("--num_extract_workers", processes, "--num_merge_workers", processes),
        ],
        env=os.environ | {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines() or [f"the conversion ended with {done.returncode}"]
    return lines[-1][:300]
