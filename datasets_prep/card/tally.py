"""Counts of values in bounded memory: exact while there are few distinct values, in coarser steps after that.

The results do not depend on the order of the values, so the same dataset gives the same card.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np

MAX_DISTINCT = 20_000  # distinct values in one tally
MAX_VIDEOS = 1 << 18  # distinct videos of one source that are stored; of more, a sample by hash
_PENDING = 1 << 16  # values that are collected before they are merged, so that small batches cost little


class Tally:
    """How often each whole number of ticks occurs.

    With more than MAX_DISTINCT distinct values, ticks are counted in steps of ten, then of a hundred, and so
    on: ``coarse`` ticks per step. Edges of bars are round numbers, so they lie between the steps.
    """

    def __init__(self) -> None:
        self.coarse = 1
        self._values = np.empty(0, np.int64)  # in steps of ``coarse`` ticks, ascending
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
        """The smallest value, exact; 0 if there is none."""
        return self._range[0] if self._range else 0

    @property
    def high(self) -> int:
        """The largest value, exact; 0 if there is none."""
        return self._range[1] if self._range else 0

    def quantile(self, share: float) -> int:
        """The smallest value that is not below at least this share of all values (nearest rank)."""
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
        # Weights are floats, which represent integers exactly up to 2^53.
        self._counts = np.bincount(place, weights=counts, minlength=len(self._values)).astype(np.int64)


class Videos:
    """Distinct videos and their lengths, by a 64-bit hash of their content.

    With more than MAX_VIDEOS videos, only those whose hash begins with ``level`` zero bits are stored, one in
    ``scale``, independent of the order; counts and sums are then estimates.
    """

    def __init__(self) -> None:
        self._level = 0
        self._hashes = np.empty(0, np.uint64)
        self._ticks = np.empty(0, np.int64)
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._waiting = 0

    @classmethod
    def merged(cls, several: Iterable[Videos]) -> Self:
        """The videos of several, each once."""
        out = cls()
        for videos in several:
            videos._flush()
            out._raise_to(videos._level)
            out.add(videos._hashes, videos._ticks)
        return out

    def add(self, hashes: np.ndarray, ticks: np.ndarray) -> None:
        """Add videos, which may be stored already; the first length of a video is kept."""
        self._pending.append((hashes, ticks))
        self._waiting += len(hashes)
        if self._waiting >= _PENDING:
            self._flush()

    @property
    def scale(self) -> int:
        """How many videos each stored one stands for; 1: all are stored."""
        self._flush()
        return 1 << self._level

    @property
    def count(self) -> int:
        """Number of distinct videos."""
        return self.scale * len(self._hashes)

    @property
    def ticks(self) -> np.ndarray:
        """Lengths of the stored videos."""
        self._flush()
        return self._ticks

    @property
    def total_ticks(self) -> int:
        """Sum of all lengths."""
        return self.scale * int(self._ticks.sum())

    def shared(self, other: Videos) -> int:
        """Number of videos that are in both."""
        level = max(self.scale, other.scale).bit_length() - 1
        both = np.intersect1d(self._hashes, other._hashes, assume_unique=True)
        return int(_low(both, level).sum()) << level

    def _flush(self) -> None:
        if not self._pending:
            return
        hashes, ticks = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
        self._pending, self._waiting = [], 0
        kept = _low(hashes, self._level)
        hashes = np.concatenate([self._hashes, hashes[kept]])
        ticks = np.concatenate([self._ticks, ticks[kept]])
        self._hashes, first = np.unique(hashes, return_index=True)
        self._ticks = ticks[first]
        while len(self._hashes) > MAX_VIDEOS:
            self._raise_to(self._level + 1)

    def _raise_to(self, level: int) -> None:
        if level > self._level:
            self._level = level
            kept = _low(self._hashes, level)
            self._hashes, self._ticks = self._hashes[kept], self._ticks[kept]


def _low(hashes: np.ndarray, level: int) -> np.ndarray:
    """Which hashes begin with that many zero bits."""
    return hashes >> np.uint64(64 - level) == 0 if level else np.ones(len(hashes), bool)
