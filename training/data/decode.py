"""A cache of decoded frames: decoding dominates the cost, and resized frames are small enough to keep."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.media.footage import Footage
from pipeline.records.sample import Sample
from training.model.processor import View, decode_views

_CacheKey = tuple[str, View, int]


@dataclass(slots=True)
class CacheCounts:
    """Hits and misses since the cache was created."""

    hits: int = 0
    misses: int = 0


class CachedFrames:
    """A FrameProvider with a least-recently-used cache of uint8 frames, for the threads of one process.

    ``footage(sample)`` gives the frames of its video. Two threads that need the same missing frames may
    both decode them, which costs time but is harmless.
    """

    def __init__(
        self, footage: Callable[[Sample], Footage], sides: Mapping[View, int], *, capacity_mb: int
    ) -> None:
        self._footage, self._sides, self._capacity = footage, dict(sides), capacity_mb * 2**20
        self._frames: OrderedDict[_CacheKey, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.counts = CacheCounts()

    def get(self, sample: Sample, by_view: Mapping[View, Sequence[int]]) -> dict[View, dict[int, np.ndarray]]:
        """Resized frames by view and index; those that are not in the cache are decoded in one pass.

        Raises VideoError, IndexError or UserError.
        """
        # With the digest, because two lists of stills below one path are two videos.
        name = f"{sample.dataset}\x1f{sample.video.path}\x1f{sample.video.sha256}"
        found: dict[View, dict[int, np.ndarray]] = {view: {} for view in by_view}
        missing: dict[View, list[int]] = {}
        with self._lock:
            for view, indices in by_view.items():
                for index in indices:
                    key = (name, view, index)
                    if key in self._frames:
                        self._frames.move_to_end(key)
                        found[view][index] = self._frames[key]
                        self.counts.hits += 1
                    else:
                        missing.setdefault(view, []).append(index)
                        self.counts.misses += 1
        if missing:
            for view, frames in decode_views(self._footage(sample), missing, self._sides).items():
                found[view].update(frames)
                self._keep(name, view, frames)
        return found

    def _keep(self, name: str, view: View, frames: Mapping[int, np.ndarray]) -> None:
        with self._lock:
            for index, frame in frames.items():
                key = (name, view, index)
                if key not in self._frames:
                    self._frames[key] = frame
                    self._bytes += frame.nbytes
            while self._bytes > self._capacity and self._frames:
                _, dropped = self._frames.popitem(last=False)
                self._bytes -= dropped.nbytes
