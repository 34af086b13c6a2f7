"""The row of a sample by its key, in sixteen bytes a sample."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.draw import draw


class KeyRows:
    """Rows by key, for a source of millions of samples of which a process reads some.

    Only hashes of the keys are kept. Two of a million keys share one with a chance of 1 in 30 million.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        hashes = np.fromiter(map(draw, keys), np.uint64)
        self._rows = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]

    def __getitem__(self, key: str) -> int:
        """The row of a key. Raises KeyError for one that is not there."""
        wanted = np.uint64(draw(key))
        at = int(np.searchsorted(self._hashes, wanted))
        if at == len(self._hashes) or self._hashes[at] != wanted:
            raise KeyError(key)
        return int(self._rows[at])
