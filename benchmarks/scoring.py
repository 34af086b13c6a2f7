"""J and F of masks at the size of DAVIS, against a direct implementation of the definition."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.compare import Pair, main
from benchmarks.plain_masks import plain_j_and_f
from evaluation.metrics import masks

_HEIGHT, _WIDTH, _FRAMES = 480, 854, 20


def _discs(radius: int, shift: int) -> list[np.ndarray]:
    """A disc that crosses the picture."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    return [(x - 150 - 25 * k - shift) ** 2 + (y - 240 - shift) ** 2 < radius**2 for k in range(_FRAMES)]


def _all(score: Any, predictions: list[np.ndarray], truths: list[np.ndarray]) -> list[tuple[float, float]]:
    return [score(p, t) for p, t in zip(predictions, truths, strict=True)]


if __name__ == "__main__":
    truth, prediction = _discs(90, 0), _discs(86, 5)
    far = _discs(30, 130)
    main(
        "scoring",
        f"J and F of {_FRAMES} frames of {_WIDTH} x {_HEIGHT}: the definition on whole frames (plain) "
        "against the smallest window that holds both masks (`evaluation/metrics/masks.py`).",
        [
            Pair(
                what=name,
                plain=partial(_all, plain_j_and_f, p, truth),
                ours=partial(_all, masks.j_and_f, p, truth),
                same=partial(np.allclose, atol=1e-12),
            )
            for name, p in (("close to the truth", prediction), ("far from it", far))
        ],
    )
