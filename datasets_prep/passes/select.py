"""Which valid samples of a source are kept: a function of their names alone.

Each sample has a rank, drawn from (seed, key), and a source that keeps ``count`` samples keeps the valid ones
with the smallest ranks. So the whole selection is one number, the ``cut``: the largest rank that is kept. It
does not depend on the order of the samples; raising ``count`` only adds samples, and a sample that joins or
leaves the source changes the selection of at most one other.
"""

from __future__ import annotations

import numpy as np

from pipeline.draw import draw

ALL = (1 << 64) - 1  # the cut of a source that keeps every sample


def rank(seed: int, key: str) -> int:
    """The rank of a sample, 0 to 2**64 - 1."""
    return draw("select", seed, key)


class CutSearch:
    """Finds the cut of one source and examines no more samples than necessary.

    ``next`` gives samples of unknown validity in the order of their ranks, until ``count`` valid ones are
    known. Samples with larger ranks are never examined.
    """

    def __init__(self, ranks_N: np.ndarray, count: int) -> None:
        self._ranks_N = ranks_N
        self._order_N = np.argsort(ranks_N, kind="stable")
        self._valid_N = np.zeros(len(ranks_N), bool)  # in the order of ranks
        self._known = 0
        self._count = count

    def next(self) -> np.ndarray:
        """Indices of the samples to examine now, in the order of their ranks; none when the cut is known."""
        missing = self._count - int(self._valid_N[: self._known].sum())
        if missing <= 0 or self._known == len(self._order_N):
            return self._order_N[:0]
        return self._order_N[self._known : self._known + missing + missing // 50 + 8]

    def record(self, valid: np.ndarray) -> None:
        """Record for each sample that ``next`` gave whether it is valid."""
        self._valid_N[self._known : self._known + len(valid)] = valid
        self._known += len(valid)

    @property
    def cut(self) -> int:
        """The largest rank that is kept, ALL if every valid sample is, -1 if none."""
        if self._count == 0:
            return -1
        kept = np.flatnonzero(self._valid_N[: self._known])
        if len(kept) < self._count:
            return ALL
        return int(self._ranks_N[self._order_N[kept[self._count - 1]]])
