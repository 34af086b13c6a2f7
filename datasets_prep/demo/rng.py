"""Names of files, and choices from the streams of ``pipeline.draw``, for scenes and their questions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from pipeline.draw import stream

T = TypeVar("T")


def digest(*names: object) -> str:
    """Hex SHA-256 of the names, separated so that ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256("\x1f".join(map(str, names)).encode()).hexdigest()


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One item, uniformly."""
    return items[int(rng.integers(len(items)))]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in random order."""
    return [items[i] for i in rng.permutation(len(items))]


class Deck:
    """Deals 0..n-1 from shuffled packs, one pack per key, so each value comes up equally often."""

    def __init__(self, seed: int, name: str) -> None:
        self._seed, self._name = seed, name
        self._packs: dict[tuple[str, int], list[int]] = {}
        self._dealt: dict[tuple[str, int], int] = {}

    def deal(self, n: int, key: str = "") -> int:
        """The next value below ``n`` for ``key``."""
        slot = (key, n)
        pack = self._packs.setdefault(slot, [])
        if not pack:
            turn = self._dealt.get(slot, 0)
            self._dealt[slot] = turn + 1
            pack.extend(shuffled(stream(self._seed, "deck", self._name, key, n, turn), range(n)))
        return pack.pop()
