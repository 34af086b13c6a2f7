"""Scene -> pixels and exact masks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from datasets_prep.demo.scene import RGB, Scene, SceneObject, Shape
from pipeline.draw import stream


def render(scene: Scene, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pixels [H, W, 3] of a frame, and which of them belong to each object [O, H, W].

    A pixel belongs to the topmost shape there, so masks never overlap; an absent object has an empty one.
    """
    masks = visible_masks(scene, frame)
    pixels = _background(scene.seed, scene.name, scene.width, scene.height).copy()
    for item, mask in zip(scene.objects, masks, strict=True):
        pixels[mask] = RGB[item.colour]
    return pixels, masks


def visible_masks(scene: Scene, frame: int) -> NDArray[np.bool_]:
    """Masks [O, H, W] of what can be seen of each object in a frame."""
    masks = np.zeros((len(scene.objects), scene.height, scene.width), dtype=bool)
    covered = np.zeros((scene.height, scene.width), dtype=bool)
    for index in reversed(range(len(scene.objects))):
        item = scene.objects[index]
        if item.shows_in(frame):
            masks[index] = _outline(item, frame, scene.width, scene.height) & ~covered
            covered |= masks[index]
    return masks


def _outline(item: SceneObject, frame: int, width: int, height: int) -> NDArray[np.bool_]:
    """Pixels whose centres lie in the shape, nothing hidden."""
    x, y = _grid(width, height)
    cx, cy = item.centre(frame)
    half = item.half_box
    if item.shape is Shape.CIRCLE:
        inside = (x - cx) ** 2 + (y - cy) ** 2 <= half**2
    elif item.shape is Shape.SQUARE:
        inside = (abs(x - cx) <= half) & (abs(y - cy) <= half)
    else:
        inside = (abs(y - cy) <= half) & (2 * abs(x - cx) <= y - (cy - half))
    return np.asarray(inside)


def outline_polygon(item: SceneObject, frame: int) -> list[float]:
    """The shape as one polygon [x1, y1, x2, y2, ...] in pixels."""
    cx, cy = item.centre(frame)
    half = item.half_box
    if item.shape is Shape.CIRCLE:
        angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        corners = np.stack([cx + half * np.cos(angles), cy + half * np.sin(angles)], axis=1)
    elif item.shape is Shape.SQUARE:
        corners = np.array(
            [[cx - half, cy - half], [cx + half, cy - half], [cx + half, cy + half], [cx - half, cy + half]]
        )
    else:
        corners = np.array([[cx, cy - half], [cx + half, cy + half], [cx - half, cy + half]])
    return [round(float(value), 2) for value in corners.ravel()]


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Pixel centres: x [1, W], y [H, 1]."""
    return np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5


@lru_cache(maxsize=4)
def _background(seed: int, name: str, width: int, height: int) -> NDArray[np.uint8]:
    """A grey slope with faint still noise, far from every colour of the palette.

    Grey is where the towers' normalisation puts zero: a dark background would be one large constant in every
    patch, and the shapes a small change of it.
    """
    rng = stream(seed, "background", name)
    base = 112 + 16 * rng.random(3)
    slope_x, slope_y = 16 * (rng.random(2) - 0.5)
    x, y = _grid(width, height)
    slope = slope_x * (x / width) + slope_y * (y / height)
    noise = rng.integers(-4, 5, size=(height, width, 1))
    return np.clip(base + slope[..., None] + noise, 80, 160).astype(np.uint8)
