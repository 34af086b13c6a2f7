"""Palette images of whole sequences: whose values are objects, and how sequences are shared out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import sched_getaffinity
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from evaluation.metrics.davis_unsupervised import MAX_PROPOSALS
from pipeline.errors import UserError

VOID = 255
PARALLEL_FRAMES = 400  # from which on starting processes pays
Job = TypeVar("Job")
Result = TypeVar("Result")


def sequences(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Files by sequence and by frame. The sequence is the folder of a file."""
    out: dict[str, dict[str, str]] = {}
    for name in names:
        path = PurePosixPath(name)
        out.setdefault(str(path.parent), {})[path.stem] = name
    return out


def object_ids(images: Iterable[np.ndarray]) -> list[int]:
    """1 to the largest value that is not void, as DAVIS counts objects; of a truth, in its first frame."""
    return list(range(1, 1 + max((int(image[image != VOID].max(initial=0)) for image in images), default=0)))


def proposal_ids(images: Iterable[np.ndarray], where: str) -> list[int]:
    """The values of proposals: 1 to the largest, or 255 where it is the only one.

    Raises UserError for more than the unsupervised protocol allows.
    """
    values = set[int]()
    for image in images:
        values |= set(np.unique(image).tolist())
    if values - {0} == {VOID}:
        return [VOID]
    if max(values, default=0) > MAX_PROPOSALS:
        raise UserError(
            where,
            f"has the value {max(values)}; the unsupervised protocol allows {MAX_PROPOSALS} proposals.",
            "Number the proposals from 1, and leave void out of predictions.",
        )
    return list(range(1, 1 + max(values, default=0)))


def spread(work: Callable[[Job], Result], jobs: Sequence[Job], frames: int) -> Iterator[Result]:
    """Results in order; in several processes where there are many frames."""
    processes = min(len(sched_getaffinity(0)), len(jobs))
    if processes < 2 or frames < PARALLEL_FRAMES:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(work, jobs)
