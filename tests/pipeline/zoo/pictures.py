"""Pictures of 24 fields, dark or bright by their number; no two are equal, even if rotated or mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

HEIGHT, WIDTH = 64, 96
_ROWS, _COLUMNS = 4, 6
_DARK, _BRIGHT = 60, 190


@cache
def fields(number: int) -> np.ndarray:
    """Which fields of picture ``number`` are bright, [4, 6]; its neighbours differ in about half of them."""
    return np.random.default_rng([7, number]).integers(0, 2, (_ROWS, _COLUMNS)).astype(bool)


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """RGB uint8 [H, W, 3]."""
    grey = np.where(fields(number), _BRIGHT, _DARK).astype(np.uint8)
    grey = np.repeat(np.repeat(grey, height // _ROWS, 0), width // _COLUMNS, 1)
    return np.repeat(grey[..., None], 3, 2)


def calm_picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The same for encoders that look ahead for static content: a sixth of the fields changes each time."""
    code = number % 64 ^ number % 64 // 2
    bright = np.array([code >> bit & 1 for bit in range(_COLUMNS)], bool)
    grey = np.where(np.broadcast_to(bright, (_ROWS, _COLUMNS)), _BRIGHT, _DARK).astype(np.uint8)
    grey = np.repeat(np.repeat(grey, height // _ROWS, 0), width // _COLUMNS, 1)
    return np.repeat(grey[..., None], 3, 2)


def number_of(picture: np.ndarray, candidates: Sequence[int]) -> int:
    """Which of ``candidates`` a picture [H, W, 3] is, whatever codec it went through; -1 for none."""
    height, width = picture.shape[:2]
    rows, columns = height // _ROWS, width // _COLUMNS
    grey = picture[: rows * _ROWS, : columns * _COLUMNS].mean(2).reshape(_ROWS, rows, _COLUMNS, columns)
    bright = grey.mean((1, 3)) > (_DARK + _BRIGHT) / 2
    wrong = {number: int((bright != fields(number)).sum()) for number in candidates}
    best = min(wrong, key=lambda number: wrong[number])
    return best if wrong[best] <= 1 else -1
