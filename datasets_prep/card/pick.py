"""Choosing samples by a hash of (seed, key), so the same dataset always shows the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from pipeline.draw import draw, draws

T = TypeVar("T", int, str)


def ranks(seed: int, keys: Iterable[str]) -> np.ndarray:
    """The rank of each key: 64 bits of a hash, independent of the ranks of selection."""
    return draws(keys, "card", seed)


def identities(names: Iterable[str]) -> np.ndarray:
    """64 bits of a hash of each name, with no seed."""
    return np.fromiter(map(draw, names), np.uint64)


class Smallest(Generic[T]):
    """The entries with the ``count`` smallest ranks in each group, whatever order they come in."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[str, list[tuple[int, T]]] = {}

    def offer(self, groups: pa.Array, ranks: np.ndarray, entry: Callable[[int], T]) -> None:
        """Offer entries: the i-th has the group ``groups[i]`` and is kept as ``entry(i)``."""
        coded = groups.dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False)
        for code, group in enumerate(coded.dictionary.to_pylist()):
            own = np.flatnonzero(codes == code)
            if len(own) > self._count:
                own = own[np.argsort(ranks[own], kind="stable")[: self._count]]
            kept = self._kept.get(group, []) + [(int(ranks[i]), entry(int(i))) for i in own]
            self._kept[group] = sorted(kept)[: self._count]

    def of(self, group: str) -> list[T]:
        """The entries of a group, the smallest rank first."""
        return [entry for _, entry in self._kept.get(group, [])]

    @property
    def groups(self) -> list[str]:
        """All groups, sorted."""
        return sorted(self._kept)
