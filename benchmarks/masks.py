"""Masks in every source format converted to checked compressed RLE, against pycocotools' bare encode."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from benchmarks.compare import Pair, main
from pipeline.records import masks

_HEIGHT, _WIDTH, _COUNT = 480, 854, 64


def blobs(seed: int = 0) -> np.ndarray:
    """[N, H, W] uint8: one irregular disk each, with a boundary as rough as that of annotated objects."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    disks = []
    for _ in range(_COUNT):
        angle = np.arctan2(y - draw.uniform(150, 330), x - draw.uniform(250, 600))
        far = np.hypot(y - 240, x - 427)
        wobble = sum(draw.uniform(0, 12) * np.sin(k * angle + draw.uniform(0, 6)) for k in range(2, 24))
        disks.append(far < draw.uniform(60, 180) + wobble)
    return np.stack(disks).astype(np.uint8)


def plain(masks_NHW: np.ndarray) -> list[str]:
    """One encode call per mask, nothing else."""
    return [coco.encode(np.asfortranarray(mask))["counts"].decode() for mask in masks_NHW]


def uncompressed(mask_HW: np.ndarray) -> dict[str, object]:
    """The run lengths of a mask as a list, as some sources write them."""
    flat = mask_HW.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0)) if flat.size else np.zeros(0, int)
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask_HW.shape), "counts": runs}


if __name__ == "__main__":
    arrays = blobs()
    forms = {
        "arrays, as label images are": list(arrays),
        "compressed RLE": [{"size": [_HEIGHT, _WIDTH], "counts": text} for text in plain(arrays)],
        "uncompressed RLE": [uncompressed(mask) for mask in arrays],
    }
    main(
        "masks",
        f"{_COUNT} masks of {_HEIGHT} x {_WIDTH} to checked compressed RLE, each form against the time that "
        "pycocotools takes to encode the same masks from arrays. Above 1 is faster; the aim is 0.77.",
        [
            Pair(
                what=what,
                plain=lambda: plain(arrays),
                ours=lambda form=form: [masks.from_source(m, _HEIGHT, _WIDTH) for m in form],  # type: ignore[misc]
                same=lambda a, b: a == b,
            )
            for what, form in forms.items()
        ],
    )
