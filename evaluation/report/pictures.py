"""Frames as small JPEGs that live inside the page, with masks drawn on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from evaluation.metrics.masks import boundary

WIDTH = 240  # pixels of a picture on the page
TRUE_COLOUR = (46, 204, 113)
MADE_COLOURS = ((255, 64, 129), (255, 152, 0), (124, 77, 255))  # of the first, second, third mask
REGION_COLOUR = (33, 150, 243)
_OPACITY = 0.5


def picture(
    frame_HW3: np.ndarray,
    *,
    true: Sequence[np.ndarray] = (),
    made: Sequence[np.ndarray] = (),
    regions: Sequence[np.ndarray] = (),
) -> str:
    """A data URI of the frame: predicted masks filled, true ones and pointed-at regions outlined.

    Masks are [H, W] at the frame's size and shrink with it (a pixel is inside if half of its area is).
    """
    height, width = frame_HW3.shape[:2]
    size = (min(WIDTH, width), max(round(height * min(WIDTH, width) / width), 1))
    pixels = np.asarray(Image.fromarray(frame_HW3).resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    for number, mask in enumerate(made):
        colour = np.array(MADE_COLOURS[number % len(MADE_COLOURS)], np.float32)
        inside = _shrunk(mask, size)
        pixels[inside] = (1 - _OPACITY) * pixels[inside] + _OPACITY * colour
    for outlines, colour_of in ((regions, REGION_COLOUR), (true, TRUE_COLOUR)):
        for mask in outlines:
            pixels[_outline(_shrunk(mask, size))] = colour_of
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _shrunk(mask_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    small = Image.fromarray((mask_HW != 0).astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(small) >= 128


def _outline(mask: np.ndarray) -> np.ndarray:
    """Two pixels wide, so that it is seen."""
    edge = boundary(mask)
    wide = edge.copy()
    wide[1:] |= edge[:-1]
    wide[:, 1:] |= edge[:, :-1]
    return wide
