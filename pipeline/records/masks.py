"""The one mask codec: any source's form <-> compressed COCO RLE <-> arrays.

COCO run lengths run down columns, and ``size`` is [height, width].
Format: https://cocodataset.org/#format-data, as implemented by pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

_SHORT = 100  # characters; up to this length a loop is as fast as NumPy
_LONGEST_RUN = 40  # bits of a run length; without a limit a malformed text could make an endless number
_FAR = 10  # frame sizes that a polygon may reach beyond its frame before it is a defect


def encode(mask_HW: np.ndarray) -> str:
    """Compressed COCO RLE string of a mask [H, W]; anything non-zero is inside."""
    if mask_HW.ndim != 2:
        raise ValueError(f"a mask has two dimensions, not shape {mask_HW.shape}")
    return coco.encode(np.asfortranarray(mask_HW != 0).view(np.uint8))["counts"].decode("ascii")


def encode_many(masks_NHW: np.ndarray) -> list[str]:
    """Compressed COCO RLE strings of masks [N, H, W]."""
    if masks_NHW.shape[0] == 0:
        return []
    stacked = np.asfortranarray(np.moveaxis(masks_NHW != 0, 0, -1)).view(np.uint8)
    return [rle["counts"].decode("ascii") for rle in coco.encode(stacked)]


def decode(counts: str, height: int, width: int) -> np.ndarray:
    """Mask [H, W] uint8 of 0 and 1 from a compressed COCO RLE string."""
    return coco.decode({"size": [height, width], "counts": counts.encode("ascii")})


def decode_many(counts: Sequence[str], height: int, width: int) -> np.ndarray:
    """Masks [N, H, W] uint8 of 0 and 1."""
    if not counts:
        return np.zeros((0, height, width), np.uint8)
    rles = [{"size": [height, width], "counts": text.encode("ascii")} for text in counts]
    return np.moveaxis(coco.decode(rles), -1, 0)


def empty(height: int, width: int) -> str:
    """The RLE of a mask with no pixel set."""
    return coco.frPyObjects({"size": [height, width], "counts": [height * width]}, height, width)[
        "counts"
    ].decode("ascii")


def area(counts: str, height: int, width: int) -> int:
    """Number of pixels inside."""
    return int(coco.area({"size": [height, width], "counts": counts.encode("ascii")}))


def union(counts: Sequence[str], height: int, width: int) -> str:
    """RLE of the union of several masks of one size."""
    if not counts:
        return empty(height, width)
    rles = [{"size": [height, width], "counts": text.encode("ascii")} for text in counts]
    return coco.merge(rles, intersect=False)["counts"].decode("ascii")


def intersection(counts: Sequence[str], height: int, width: int) -> str:
    """RLE of what all of several masks of one size share."""
    rles = [{"size": [height, width], "counts": text.encode("ascii")} for text in counts]
    return coco.merge(rles, intersect=True)["counts"].decode("ascii")


def from_source(segmentation: Any, height: int, width: int) -> str:
    """A mask in any form of the sources -> compressed COCO RLE.

    Accepts None (object absent), a dict with compressed (str) or uncompressed (list) ``counts``, a list of
    polygons ``[[x1, y1, ...], ...]`` in pixels, or an array [H, W] whose non-zero values are inside.

    Raises ValueError for another form, for run lengths that do not sum to the image, and for a mask whose
    own size is not ``height`` x ``width``: a mask of another size than its frame is a defect, not a task.
    """
    if segmentation is None or (isinstance(segmentation, list) and not segmentation):
        return empty(height, width)
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != (height, width):
            raise ValueError(f"mask of shape {segmentation.shape} for a frame of {height}x{width}")
        return encode(segmentation)
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    if isinstance(segmentation, dict):
        return _from_rle(segmentation, height, width)
    raise ValueError(f"a mask is null, an RLE or polygons, not {type(segmentation).__name__}")


def _from_polygons(polygons: list[Any], height: int, width: int) -> str:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon is a flat list of at least three x, y pairs")
        if not all(isinstance(v, int | float) and np.isfinite(v) for v in polygon):
            raise ValueError("a polygon holds finite numbers only")
        # pycocotools allocates by the length of an edge, and crashes where it is absurd.
        if max(map(abs, polygon)) > _FAR * max(height, width):
            raise ValueError(f"a polygon has a point far outside the frame of {height}x{width}")
    return coco.merge(coco.frPyObjects(polygons, height, width))["counts"].decode("ascii")


def _from_rle(rle: dict[str, Any], height: int, width: int) -> str:
    size, counts = rle.get("size"), rle.get("counts")
    if counts is None:
        raise ValueError("an RLE needs counts, these are null")
    if size is not None and list(size) != [height, width]:
        raise ValueError(f"mask of {size[0]}x{size[1]} for a frame of {height}x{width} (height x width)")
    if isinstance(counts, list):
        if not all(isinstance(v, int) and v >= 0 for v in counts) or sum(counts) != height * width:
            raise ValueError(
                f"run lengths must be whole, not negative, and sum to {height}x{width}={height * width}"
            )
        return coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"].decode(
            "ascii"
        )
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    if not isinstance(text, str):
        raise ValueError(f"RLE counts are text or a list, not {type(counts).__name__}")
    # pycocotools itself reads past the end of its buffers for bad text, so the check comes first.
    if len(text) < _SHORT or not _is_compressed(text, height * width):
        _check_compressed(text, height * width)
    return text


def _is_compressed(text: str, pixels: int) -> bool:
    """The check of ``_check_compressed`` for all characters at once, without naming the error."""
    if not text.isascii():
        return False
    code_N = np.frombuffer(text.encode("ascii"), np.uint8) - np.uint8(48)  # lower codes wrap around
    last_N = code_N & 0x20 == 0  # of its number
    if code_N.max() >= 64 or not last_N[-1]:
        return False
    end_R = np.flatnonzero(last_N) + 1
    length_R = np.diff(end_R, prepend=0)
    if length_R.max() * 5 > _LONGEST_RUN:
        return False
    start_R = end_R - length_R
    shift_N = 5 * (np.arange(len(code_N)) - np.repeat(start_R, length_R))
    value_R = np.add.reduceat((code_N & 0x1F).astype(np.int64) << shift_N, start_R)
    value_R -= (code_N[end_R - 1] & 0x10 != 0) * (np.int64(1) << 5 * length_R)
    if np.abs(value_R).max() > pixels:  # no sum of these overflows
        return False
    # From the fourth on, a number is the difference to the run two before it.
    run_R = value_R.copy()
    for first in (1, 2):
        run_R[first::2] = np.cumsum(value_R[first::2])
    return bool(run_R.min() >= 0 and run_R.sum() == pixels)


def _check_compressed(text: str, pixels: int) -> None:
    """Decode the LEB128-like code of the COCO API and check that its run lengths sum to the image.

    Raises ValueError for the first error.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for char in text:
        code = ord(char) - 48
        if not 0 <= code < 64:
            raise ValueError(f"{char!r} is not a character of a compressed RLE")
        value |= (code & 0x1F) << shift
        shift += 5
        if shift > _LONGEST_RUN:
            raise ValueError("a compressed RLE holds a number of more than 40 bits")
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        run = value + (runs[-2] if len(runs) > 2 else 0)
        if run < 0:
            raise ValueError("a compressed RLE holds a negative run")
        runs.append(run)
        value, shift = 0, 0
    if shift:
        raise ValueError("a compressed RLE ends in the middle of a number")
    if sum(runs) != pixels:
        raise ValueError(f"a compressed RLE of {sum(runs)} pixels for a frame of {pixels}")
