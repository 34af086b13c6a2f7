"""What is asked of a checkpoint, cut into units, whose answers do not depend on who computes them or when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.draw import draw
from pipeline.plan.evaluation import UNIT_SAMPLES
from pipeline.records.sample import Sample

# A unit has at most an eighth of the questions that are left, but not fewer than four.
_SHRINK, _SMALLEST = 8, 4


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


def units(items: Sequence[Item]) -> list[Unit]:
    """Units of at most UNIT_SAMPLES questions of similar cost from all benchmarks, the most expensive first.

    Each batch then waits little for its longest member. The last units decide when the actors finish: they
    are the cheapest, and shrink. A question that two entries share is asked once.
    """
    once = {(item.source, *item.name): item for item in reversed(items)}
    by_cost = sorted(once.values(), key=lambda item: (-item.cost, item.source, item.row, item.question))
    made, at = list[Unit](), 0
    while left := len(by_cost) - at:
        taken = by_cost[at : at + min(UNIT_SAMPLES, max(_SMALLEST, math.ceil(left / _SHRINK)))]
        made.append(Unit(number=len(made), items=tuple(replace(item, sample=None) for item in taken)))
        at += len(taken)
    return made
