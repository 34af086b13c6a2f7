"""Frames as small JPEGs that live inside a page, with masks drawn on them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

Colour = tuple[int, int, int]

WIDTH = 240  # pixels of a picture on a page


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image with its alternative text, and its size in pixels, which a page needs before it is decoded."""

    uri: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A mask [H, W] of the whole frame in any resolution, and how it is drawn; non-zero is inside."""

    mask_HW: np.ndarray
    fill: Colour | None = None
    opacity: float = 0.5  # of the fill, 0-1
    outline: Colour | None = None


def draw(frame_HW3: np.ndarray, layers: Sequence[Layer] = ()) -> str:
    """A data URI of the frame: first all fills in order, then all outlines, so that none hides an outline.

    Masks shrink with the frame: a pixel of the picture is inside if half of its area is.
    """
    size = shown_size(frame_HW3)
    pixels = np.asarray(Image.fromarray(frame_HW3).resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    small = [shrunk(layer.mask_HW, size) for layer in layers]
    for layer, mask in zip(layers, small, strict=True):
        if layer.fill is not None:
            colour = np.array(layer.fill, np.float32)
            pixels[mask] = (1 - layer.opacity) * pixels[mask] + layer.opacity * colour
    for layer, mask in zip(layers, small, strict=True):
        if layer.outline is not None:
            pixels[_outline(mask)] = layer.outline
    return jpeg(pixels.clip(0, 255).astype(np.uint8))


def jpeg(pixels_HW3: np.ndarray) -> str:
    """A data URI of these pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_HW3).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def shown_size(frame_HW3: np.ndarray, widest: int = WIDTH) -> tuple[int, int]:
    """Width and height of a frame's picture."""
    height, width = frame_HW3.shape[:2]
    return min(widest, width), max(round(height * min(widest, width) / width), 1)


def shrunk(mask_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at ``size`` = (width, height), as booleans [height, width]."""
    small = Image.fromarray((mask_HW != 0).astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(small) > 127


def _outline(mask_HW: np.ndarray) -> np.ndarray:
    """Pixels with both inside and outside around them: a line two pixels wide, so that it is seen."""
    image = Image.fromarray(mask_HW.astype(np.uint8) * 255)
    widest, narrowest = (image.filter(kind(3)) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    return np.asarray(widest) != np.asarray(narrowest)
