"""A mask in the forms that published annotation files use (COCO RLE, uncompressed RLE, polygons, null)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.demo.render import outline_polygon, visible_masks
from datasets_prep.demo.scene import Scene


def compressed(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO compressed RLE of a mask [H, W]; ``size`` is [height, width]."""
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def uncompressed(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO uncompressed RLE: column-major run lengths that begin with zeros."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(bounds).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def rle_or_null(mask: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Compressed RLE, or null where the object is absent."""
    return compressed(mask) if mask.any() else None


def tracks(scene: Scene, frames: Sequence[int]) -> list[list[dict[str, Any] | None]]:
    """Per object, its RLE or null in each of the frames."""
    masks = [visible_masks(scene, frame) for frame in frames]
    return [[rle_or_null(mask[index]) for mask in masks] for index in range(len(scene.objects))]


def frame_dict(scene: Scene, index: int, frames: dict[int, int]) -> dict[str, Any]:
    """One object as VideoRefer writes it; ``frames`` maps the key to be written to the frame of the scene."""
    return {
        str(key): {"segmentation": rle_or_null(visible_masks(scene, frame)[index])}
        for key, frame in frames.items()
    }


def polygon_dict(scene: Scene, index: int, frame: int) -> dict[str, Any] | None:
    """One object in one frame as polygons, or None when something covers a part of it."""
    item = scene.objects[index]
    others = [o for o in scene.objects if o is not item and o.shows_in(frame)]
    cx, cy = item.centre(frame)
    for other in others:
        ox, oy = other.centre(frame)
        reach = item.half_box + other.half_box
        if abs(cx - ox) < reach and abs(cy - oy) < reach:
            return None
    return {str(frame): {"segmentation": [outline_polygon(item, frame)]}}
