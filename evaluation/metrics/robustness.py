"""Accuracy and robustness of ReVOS, from numbers of pixels of one frame.

Source: Yan et al., "VISA: Reasoning Video Object Segmentation via Large Language Models" (ECCV 2024), as in
its tools/metrics.py for masks of 0 and 1.
"""

from __future__ import annotations

_NOTHING = 1e-6  # keeps a frame without any object from dividing by 0


def accuracy(wrong: int, pixels: int) -> float:
    """Share of a frame's pixels in which prediction and truth agree, 0-1; ``wrong`` is where they do not."""
    return (pixels - wrong) / pixels


def robustness(false_positives: int, foreground: int) -> float:
    """1 minus the ratio of wrongly marked pixels to the pixels of all objects; at least 0.

    Without any object in the frame a single wrong pixel makes it 0.
    """
    return max(1 - false_positives / (foreground + _NOTHING), 0.0)
