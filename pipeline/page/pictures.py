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
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)
_MIDDLE = 100  # of 255: a lighter colour gets a dark edge
_DASH = 8  # pixels of a dash, and of a gap


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image and its alternative text."""

    uri: str
    alt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A mask [H, W] of the whole frame in any resolution, and how it is drawn; non-zero is inside."""

    mask_HW: np.ndarray
    fill: Colour | None = None
    opacity: float = 0.5  # of the fill, 0-1
    outline: Colour | None = None
    edged: bool = False  # a dark or light edge around the outline, so that it is seen on its own colour too
    dashed: bool = False  # the outline has gaps, through which the outline below it shows


def draw(frame_HW3: np.ndarray, layers: Sequence[Layer] = ()) -> str:
    """A data URI of the frame: first all fills in order, then all outlines, so that none hides an outline.

    Masks shrink with the frame: a pixel of the picture is inside if half of its area is.
    """
    size = shown_size(frame_HW3)
    pixels = np.asarray(Image.fromarray(frame_HW3).resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    shrunk = [_shrunk(layer.mask_HW, size) for layer in layers]
    for layer, mask in zip(layers, shrunk, strict=True):
        if layer.fill is not None:
            inside = np.asarray(mask) > 0
            colour = np.array(layer.fill, np.float32)
            pixels[inside] = (1 - layer.opacity) * pixels[inside] + layer.opacity * colour
    for layer, mask in zip(layers, shrunk, strict=True):
        if layer.outline is not None:
            line = _outline(mask)
            if layer.dashed:
                line = line & _dashes(line.shape)
            if layer.edged:
                pixels[_grown(line)] = _DARK if _lightness(layer.outline) > _MIDDLE else _LIGHT
            pixels[line] = layer.outline
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def shown_size(frame_HW3: np.ndarray) -> tuple[int, int]:
    """Width and height of a frame's picture."""
    height, width = frame_HW3.shape[:2]
    return min(WIDTH, width), max(round(height * min(WIDTH, width) / width), 1)


def outlined_pixels(frame_HW3: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of the frame's picture that a mask's outline would cover."""
    size = shown_size(frame_HW3)
    pixels = np.asarray(Image.fromarray(frame_HW3).resize(size, Image.Resampling.BICUBIC))
    return pixels[_outline(_shrunk(mask_HW, size))]


def _shrunk(mask_HW: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The mask at ``size`` = (width, height), of 0 and 255."""
    small = Image.fromarray((mask_HW != 0).astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return small.point([0] * 128 + [255] * 128)


def _outline(mask: Image.Image) -> np.ndarray:
    """Pixels with both inside and outside around them: a line two pixels wide, so that it is seen."""
    widest, narrowest = (mask.filter(kind(3)) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter))
    return np.asarray(widest) != np.asarray(narrowest)


def _lightness(colour: Colour) -> float:
    """0 to 255, as television weighs the channels."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _grown(line: np.ndarray) -> np.ndarray:
    """A line [H, W] with a pixel more on each side."""
    image = Image.fromarray(line.astype(np.uint8) * 255)
    return np.asarray(image.filter(ImageFilter.MaxFilter(3))) > 0


def _dashes(shape: tuple[int, ...]) -> np.ndarray:
    """Where dashes are [H, W]: slanted stripes, which cut lines of every direction but one."""
    rows, columns = np.indices(shape)
    return (columns + 2 * rows) // _DASH % 2 == 0
