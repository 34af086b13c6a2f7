"""What is asked of a checkpoint, cut into units, and each unit given to a free actor.

A unit's answers do not depend on who computes them or when; who computes them is decided at run time, so that
a slow sample holds up one actor and not a rank.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.draw import draw
from pipeline.plan.evaluation import UNIT_SAMPLES
from pipeline.records.sample import Sample

MAX_LOSSES = 3  # after so many actors died over one unit the step gives up


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question: a sample of the prepared dataset, asked as an entry of the plan says."""

    entry: str
    source: str
    row: int  # of the source in the prepared dataset
    key: str
    question: str  # digest, see ``question_digest``
    video: str  # SHA-256
    cost: int
    hidden: bool = False  # its truth is: it is answered, but not scored
    # Of samples without masks, which are small: scoring need not read it again.
    sample: Sample | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> tuple[str, str]:
        """The key under which the answer is stored."""
        return self.key, self.question


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Some questions, which one actor answers one after another."""

    number: int
    items: tuple[Item, ...]


def ranked(keys: Sequence[str], seed: int, purpose: str) -> list[int]:
    """All indices, ordered by the draws of (purpose, seed, key)."""
    ranks = [draw(purpose, seed, key) for key in keys]
    return sorted(range(len(keys)), key=lambda i: (ranks[i], i))


def choose_samples(keys: Sequence[str], limit: int | None, seed: int, purpose: str) -> list[int]:
    """Indices of at most ``limit`` keys, the first in rank, in their own order."""
    if limit is None or limit >= len(keys):
        return list(range(len(keys)))
    return sorted(ranked(keys, seed, purpose)[:limit])


def units(items: Sequence[Item], size: int = UNIT_SAMPLES) -> list[Unit]:
    """Units of ``size`` questions of similar cost from all benchmarks, the most expensive first.

    Each batch then waits little for its longest member, and the last units, which decide when the actors
    finish, are the cheapest. A question that two entries share is asked once.
    """
    once = {(item.source, *item.name): item for item in reversed(items)}
    by_cost = sorted(once.values(), key=lambda item: (-item.cost, item.source, item.row, item.question))
    return [
        Unit(number=n, items=tuple(replace(item, sample=None) for item in by_cost[at : at + size]))
        for n, at in enumerate(range(0, len(by_cost), size))
    ]


def run_on_actors(
    jobs: Sequence[Unit],
    *,
    count: int,
    spawn: Callable[[], Any],
    submit: Callable[[Any, Unit], Any],
    done: Callable[[Unit, Any], None],
    lost: Callable[[str], None] = lambda message: None,
) -> None:
    """Run every job on a pool of ``count`` Ray actors; a free actor takes the next job.

    If an actor dies, ``lost`` is called with the reason, the actor is replaced and its job goes back to the
    head of the queue. The step ends after MAX_LOSSES deaths over one job, and an error raised inside a job
    passes through at once.
    """
    import ray

    waiting = deque(jobs)
    losses: Counter[int] = Counter()
    actors = [spawn() for _ in range(min(count, len(waiting)))]
    running: dict[Any, tuple[Any, Unit]] = {}
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
                    losses[job.number] += 1
                    asked = f"{len(job.items)} questions ({job.items[0].key} to {job.items[-1].key})"
                    if losses[job.number] >= MAX_LOSSES:
                        raise RuntimeError(
                            f"{losses[job.number]} actors died over the same {asked}: {error}"
                        ) from error
                    reason = (str(error).splitlines() or ["unknown"])[0]
                    lost(f"an actor was lost over {asked} and is replaced: {reason}")
                    waiting.appendleft(job)
                    actors = [spawn() if a is actor else a for a in actors]
                    continue
                done(job, result)
    finally:
        for actor in actors:
            ray.kill(actor)
