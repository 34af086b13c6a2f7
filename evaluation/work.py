"""Cutting benchmarks into chunks, and giving each chunk to a free actor.

Chunks are fixed by the dataset alone, so their predictions have the same names and content whoever computes
them; who computes them is decided at run time, so that a slow sample holds up one actor and not a rank.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.draw import draw
from pipeline.plan.evaluation import CHUNK_SAMPLES

MAX_LOSSES = 3  # actors that a chunk may take down with it before the step gives up


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A run of samples of one source: the content of one part of the prediction store."""

    source: str
    number: int
    rows: tuple[int, ...]  # of the source in the prepared dataset
    keys: tuple[str, ...]


def ranked(keys: Sequence[str], seed: int, purpose: str) -> list[int]:
    """All indices, by what (purpose, seed, key) draw."""
    ranks = [draw(purpose, seed, key) for key in keys]
    return sorted(range(len(keys)), key=lambda i: (ranks[i], i))


def choose_samples(keys: Sequence[str], limit: int | None, seed: int, purpose: str) -> list[int]:
    """Indices of at most ``limit`` keys, the first in rank, in their own order."""
    if limit is None or limit >= len(keys):
        return list(range(len(keys)))
    return sorted(ranked(keys, seed, purpose)[:limit])


def chunks(source: str, keys: Sequence[str], limit: int | None, seed: int) -> list[Chunk]:
    """The chunks of one source, all but the last of CHUNK_SAMPLES samples."""
    rows = choose_samples(keys, limit, seed, "benchmark")
    parts = [rows[i : i + CHUNK_SAMPLES] for i in range(0, len(rows), CHUNK_SAMPLES)]
    return [
        Chunk(source=source, number=n, rows=tuple(part), keys=tuple(keys[row] for row in part))
        for n, part in enumerate(parts)
    ]


def run_on_actors(
    jobs: Sequence[Chunk],
    *,
    count: int,
    spawn: Callable[[], Any],
    submit: Callable[[Any, Chunk], Any],
    done: Callable[[Chunk, Any], None],
) -> None:
    """Run every job on a pool of ``count`` Ray actors; a free actor takes the next job.

    An actor that dies is replaced and its job goes back to the head of the queue. A job that took
    MAX_LOSSES actors with it ends the step, and an error raised inside a job passes through at once.
    """
    import ray

    waiting = deque(jobs)
    losses: Counter[Chunk] = Counter()
    actors = [spawn() for _ in range(min(count, len(waiting)))]
    running: dict[Any, tuple[Any, Chunk]] = {}
    try:
        while waiting or running:
            busy = {id(actor) for actor, _ in running.values()}
            for actor in actors:
                if waiting and id(actor) not in busy:
                    job = waiting.popleft()
                    running[submit(actor, job)] = (actor, job)
            ready, _ = ray.wait(list(running), num_returns=1)
            for ref in ready:
                actor, job = running.pop(ref)
                try:
                    result = ray.get(ref)
                except ray.exceptions.RayActorError as error:
                    losses[job] += 1
                    if losses[job] >= MAX_LOSSES:
                        raise RuntimeError(
                            f"{losses[job]} actors died over part {job.number} of {job.source} "
                            f"(samples {job.keys[0]} to {job.keys[-1]}): {error}"
                        ) from error
                    waiting.appendleft(job)
                    actors = [spawn() if a is actor else a for a in actors]
                    continue
                done(job, result)
    finally:
        for actor in actors:
            ray.kill(actor)
