"""Frames of one video at the sizes that a model takes, decoded one by one: few are in memory at full size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.media.footage import Footage
from pipeline.media.video import VideoError
from pipeline.records.sample import Sample
from training.model.processor import View, resize


@dataclass(frozen=True, slots=True)
class Frames:
    """A FrameProvider for one video. It decodes on demand and caches nothing: each frame is used once."""

    footage: Footage
    sides: Mapping[View, int]

    def get(self, sample: Sample, by_view: Mapping[View, Sequence[int]]) -> dict[View, dict[int, np.ndarray]]:
        """Resized frames by view and index. Raises VideoError, IndexError or UserError."""
        sets = {view: frozenset(indices) for view, indices in by_view.items()}
        out: dict[View, dict[int, np.ndarray]] = {view: {} for view in by_view}
        for index, picture in pictures(self.footage, sorted(frozenset().union(*sets.values()))):
            for view in sets:
                if index in sets[view]:
                    out[view][index] = resize(picture, self.sides[view], view)
        return out

    def each(self, view: View, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Resized frames of one view at ``indices``, which are in ascending order. Raises as ``get`` does."""
        for _, picture in pictures(self.footage, indices):
            yield resize(picture, self.sides[view], view)


def pictures(footage: Footage, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Frames at ``indices``, strictly ascending, with their index: RGB uint8 [H, W, 3].

    Raises VideoError, IndexError or UserError, some only when the faulty frame is reached.
    """
    size: tuple[int, ...] | None = None
    for index, picture in footage.stream(indices):
        size = size or picture.shape
        if picture.shape != size:
            raise VideoError(f"{footage.place}: frame {index} is {picture.shape[:2]}, others are {size[:2]}")
        yield index, picture
