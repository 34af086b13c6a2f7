"""Counts of values in bounded memory: exact while values are few, in coarser steps once they are many.

Nothing here depends on the order in which values come, so the same dataset gives the same card.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np

MAX_DISTINCT = 20_000  # distinct values that one tally tells apart
MAX_VIDEOS = 1 << 18  # distinct videos that are remembered; of more, a sample by hash
_PENDING = 1 << 16  # values that wait to be sorted in, so that many small batches cost little


class Tally:
    """How often each whole number of ticks occurs.

    With more than MAX_DISTINCT distinct values ticks are counted by tens, then by hundreds, and so on:
    ``coarse`` ticks together. Edges of bars are round numbers, so they fall between the steps.
    """

    def __init__(self) -> None:
        self.coarse = 1
        self._values = np.empty(0, np.int64)  # in steps of ``coarse`` ticks, rising
        self._counts = np.empty(0, np.int64)
        self._pending: list[np.ndarray] = []
        self._waiting = 0
        self._range: tuple[int, int] | None = None

    @classmethod
    def merged(cls, tallies: Iterable[Tally]) -> Self:
        """One tally of the values of several."""
        out = cls()
        for tally in tallies:
            tally._flush()
            if tally._range:
                out._see(*tally._range)
                out._merge(tally._values, tally._counts, tally.coarse)
        return out

    def add(self, ticks: np.ndarray) -> None:
        """Count values, whole numbers of ticks."""
        if not len(ticks):
            return
        ticks = ticks.astype(np.int64, copy=False)
        self._see(int(ticks.min()), int(ticks.max()))
        self._pending.append(ticks)
        self._waiting += len(ticks)
        if self._waiting >= _PENDING:
            self._flush()

    @property
    def count(self) -> int:
        """Number of values."""
        self._flush()
        return int(self._counts.sum())

    @property
    def low(self) -> int:
        """The smallest value, exactly; 0 where there is none."""
        return self._range[0] if self._range else 0

    @property
    def high(self) -> int:
        """The largest value, exactly; 0 where there is none."""
        return self._range[1] if self._range else 0

    def quantile(self, share: float) -> int:
        """The smallest value that at least this share of all values does not exceed (nearest rank)."""
        self._flush()
        rank = max(int(np.ceil(share * self.count)), 1)
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        if at >= len(self._values):
            return 0
        return min(max(int(self._values[at]) * self.coarse, self.low), self.high)

    def between(self, edges: Sequence[int]) -> list[int]:
        """Counts of the values in [edges[i], edges[i + 1]); the last bar includes its end."""
        self._flush()
        sums = np.concatenate([[0], np.cumsum(self._counts)])
        at = np.searchsorted(self._values * self.coarse, np.asarray(edges))
        at[-1] = np.searchsorted(self._values * self.coarse, edges[-1], side="right")
        return [int(n) for n in np.diff(sums[at])]

    def _see(self, low: int, high: int) -> None:
        old = self._range
        self._range = (low, high) if old is None else (min(old[0], low), max(old[1], high))

    def _flush(self) -> None:
        if self._pending:
            waiting, self._pending, self._waiting = np.concatenate(self._pending), [], 0
            values, counts = np.unique(waiting // self.coarse, return_counts=True)
            self._merge(values, counts, self.coarse)

    def _merge(self, values: np.ndarray, counts: np.ndarray, coarse: int) -> None:
        together = max(coarse, self.coarse)
        own, theirs = self._values // (together // self.coarse), values // (together // coarse)
        self.coarse = together
        self._set(np.concatenate([own, theirs]), np.concatenate([self._counts, counts]))
        while len(self._values) > MAX_DISTINCT:
            self.coarse *= 10
            self._set(self._values // 10, self._counts)

    def _set(self, values: np.ndarray, counts: np.ndarray) -> None:
        self._values, place = np.unique(values, return_inverse=True)
        # Weights are floats, which are exact up to 2^53.
        self._counts = np.bincount(place, weights=counts, minlength=len(self._values)).astype(np.int64)


class Videos:
    """Distinct videos and their lengths, by a 64-bit hash of their content.

    With more than MAX_VIDEOS only those whose hash begins with ``level`` zero bits are remembered, which is
    one in ``scale`` whatever their order: counts and sums are estimates then.
    """

    def __init__(self) -> None:
        self.level = 0
        self.hashes = np.empty(0, np.uint64)
        self.ticks = np.empty(0, np.int64)

    @classmethod
    def merged(cls, several: Iterable[Videos]) -> Self:
        """The videos of several, each once."""
        out = cls()
        for videos in several:
            out._raise_to(videos.level)
            out.add(videos.hashes, videos.ticks)
        return out

    @property
    def scale(self) -> int:
        """How many videos each remembered one stands for; 1: all are remembered."""
        return 1 << self.level

    @property
    def count(self) -> int:
        """Number of distinct videos."""
        return len(self.hashes) * self.scale

    @property
    def total_ticks(self) -> int:
        """Sum of their lengths."""
        return int(self.ticks.sum()) * self.scale

    def add(self, hashes: np.ndarray, ticks: np.ndarray) -> None:
        """Videos that may be known already; of one that comes twice the first length is kept."""
        kept = self._low(hashes)
        hashes = np.concatenate([self.hashes, hashes[kept]])
        ticks = np.concatenate([self.ticks, ticks[kept]])
        self.hashes, first = np.unique(hashes, return_index=True)
        self.ticks = ticks[first]
        while len(self.hashes) > MAX_VIDEOS:
            self._raise_to(self.level + 1)

    def shared(self, other: Videos) -> int:
        """Number of videos that are in both."""
        level = max(self.level, other.level)
        both = np.intersect1d(self.hashes, other.hashes, assume_unique=True)
        return int((both >> np.uint64(64 - level) == 0).sum() if level else len(both)) << level

    def _raise_to(self, level: int) -> None:
        if level > self.level:
            self.level = level
            kept = self._low(self.hashes)
            self.hashes, self.ticks = self.hashes[kept], self.ticks[kept]

    def _low(self, hashes: np.ndarray) -> np.ndarray:
        if not self.level:
            return np.ones(len(hashes), bool)
        return hashes >> np.uint64(64 - self.level) == 0
