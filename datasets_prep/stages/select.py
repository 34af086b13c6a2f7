"""Which valid samples of a source are kept: pure, and a function of names alone."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable


def draw(seed: int, key: str) -> str:
    """The lot of a sample, hex SHA-256 of (seed, key). Smaller lots are kept first."""
    return hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()


def select(keys: Iterable[str], seed: int, count: int | None) -> set[str]:
    """``count`` of the keys (all for None): those with the smallest lots.

    Independent of the order of the keys; raising ``count`` only adds samples, and a sample that joins or
    leaves the source moves at most one other.
    """
    keys = list(keys)
    if count is None or count >= len(keys):
        return set(keys)
    return set(heapq.nsmallest(count, keys, key=lambda key: draw(seed, key)))
