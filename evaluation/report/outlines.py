"""The outline of a mask as an SVG path: drawn by the browser over the frame, sharp at every size.

One frame then serves the truth and the answers of every checkpoint, and readers can hide either.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

Point = tuple[int, int]

SCALE = 2  # units of a path in a pixel: corners lie in the middle of a pixel's side


def outline(mask_HW: np.ndarray) -> str:
    """The outline as closed paths, holes too; empty for an empty mask. A pixel is ``SCALE`` units wide."""
    return "".join(_path(corners) for corners in map(_corners, _loops(mask_HW != 0)) if len(corners) > 2)


def covered(mask_HW: np.ndarray) -> np.ndarray:
    """Pixels [H, W] on both sides of the outline: what a line there covers."""
    inside = np.pad(mask_HW != 0, 1, mode="edge")
    around = [inside[1 + y : -1 + y or None, 1 + x : -1 + x or None] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return np.logical_or.reduce(around) & ~np.logical_and.reduce(around)


def _loops(inside_HW: np.ndarray) -> Iterator[list[Point]]:
    """Closed walks along the sides of pixels, with the inside on the right; points are corners of pixels.

    Where two pixels touch at a corner alone, the walk turns right: they stay two shapes.
    """
    grid = np.pad(inside_HW, 1)
    here = grid[1:-1, 1:-1]
    steps: dict[Point, list[Point]] = {}
    for (y0, x0), (y1, x1), outside in (
        ((0, 0), (0, 1), ~grid[:-2, 1:-1]),
        ((0, 1), (1, 1), ~grid[1:-1, 2:]),
        ((1, 1), (1, 0), ~grid[2:, 1:-1]),
        ((1, 0), (0, 0), ~grid[1:-1, :-2]),
    ):
        for y, x in zip(*(axis.tolist() for axis in np.nonzero(here & outside)), strict=True):
            steps.setdefault((x + x0, y + y0), []).append((x + x1, y + y1))
    for start in sorted(steps, key=lambda point: (point[1], point[0])):
        while steps[start]:
            walk, at = [start], steps[start].pop()
            while at != start:
                before, ways = walk[-1], steps[at]
                walk.append(at)
                turn = (before[1] - at[1], at[0] - before[0])  # to the right; y points down
                right = (at[0] + turn[0], at[1] + turn[1])
                at = ways.pop(ways.index(right) if right in ways else -1)
            yield walk


def _corners(walk: list[Point]) -> list[Point]:
    """The middles of the walk's sides, without those on a straight line: stairs become slopes."""
    middles = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(walk, [*walk[1:], walk[0]], strict=True)]
    kept = []
    for before, at, after in zip(
        [middles[-1], *middles[:-1]], middles, [*middles[1:], middles[0]], strict=True
    ):
        if (at[0] - before[0], at[1] - before[1]) != (after[0] - at[0], after[1] - at[1]):
            kept.append(at)
    return kept


def _path(corners: list[Point]) -> str:
    parts = [f"M{corners[0][0]} {corners[0][1]}"]
    for before, at in pairwise(corners):
        x, y = at[0] - before[0], at[1] - before[1]
        parts.append(f"h{x}" if not y else f"v{y}" if not x else f"l{x} {y}")
    return "".join(parts) + "z"
