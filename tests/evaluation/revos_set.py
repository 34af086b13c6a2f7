"""A tiny ReVOS in its own layout, with predictions: discs that cross two videos of two sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.records import masks

FRAMES = 5
SIZES = {"OVIS/train/one": (40, 60), "MOSE/two": (54, 72)}
NAMES = {"OVIS/train/one": "img_{:07d}", "MOSE/two": "{:05d}"}
KINDS = ("referring", "reasoning", "hallucination")
# Video, expression, its objects, its kind. Object 1 overlaps 0 and 2, and is in no expression with them.
EXPRESSIONS = (
    ("OVIS/train/one", "0", (1,), 0),
    ("OVIS/train/one", "1", (0, 2), 1),
    ("OVIS/train/one", "2", (), 2),
    ("OVIS/train/one", "3", (2,), 0),
    ("MOSE/two", "0", (3,), 1),
    ("MOSE/two", "1", (4,), 0),
    ("MOSE/two", "10", (), 2),
)
WITHOUT = ("MOSE/two", "1")  # has no folder of predictions


def disc(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    """Mask [H, W] uint8."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8)


def true_object(number: int, frame: int) -> np.ndarray:
    """An object's mask. Object 2 leaves after two frames; the last frame of the second video is empty."""
    height, width = SIZES["OVIS/train/one" if number < 3 else "MOSE/two"]
    gone = (number == 2 and frame > 1) or (number > 2 and frame == FRAMES - 1)
    return disc(height, width, 12 + 7 * (number % 3), 14 + 9 * (number % 3) + 2 * frame, 0 if gone else 9)


def truth(video: str, objects: tuple[int, ...], frame: int) -> np.ndarray:
    """The union of an expression's objects."""
    out = np.zeros(SIZES[video], np.uint8)
    for number in objects:
        out |= true_object(number, frame)
    return out


def predicted(number: int, frame: int) -> np.ndarray:
    """The predicted mask of ``EXPRESSIONS[number]``: a disc some pixels off, empty on some frames."""
    height, width = SIZES[EXPRESSIONS[number][0]]
    radius = 0 if (number + frame) % 4 == 3 else 8 + (number % 3)
    return disc(height, width, 13 + 5 * (number % 3), 15 + 8 * (number % 2) + 3 * frame, radius)


def rle(mask: np.ndarray) -> dict[str, Any] | None:
    """As in mask_dict.json: None for an empty mask."""
    return {"size": list(mask.shape), "counts": masks.encode(mask)} if mask.any() else None


def write_set(folder: Path, inside: int = 1, skip: tuple[str, str] | None = WITHOUT) -> None:
    """``meta_expressions_valid_.json``, ``mask_dict.json``; masks of 0 and ``inside`` in ``predictions``."""
    videos: dict[str, Any] = {}
    for place, (video, part, objects, kind) in enumerate(EXPRESSIONS):
        height, width = SIZES[video]
        names = [NAMES[video].format(frame) for frame in range(FRAMES)]
        entry = videos.setdefault(
            video, {"vid_id": 0, "height": height, "width": width, "frames": names, "expressions": {}}
        )
        entry["expressions"][part] = {
            "exp": f"words {place}",
            "obj_id": list(objects),
            "anno_id": list(objects),
            "type_id": kind,
        }
        if (video, part) == skip:
            continue
        target = folder / "predictions" / video / part
        target.mkdir(parents=True)
        for frame, name in enumerate(names):
            Image.fromarray(predicted(place, frame) * np.uint8(inside)).save(target / f"{name}.png")
    tracks = {str(n): [rle(true_object(n, frame)) for frame in range(FRAMES)] for n in range(5)}
    (folder / "meta_expressions_valid_.json").write_text(json.dumps({"videos": videos}))
    (folder / "mask_dict.json").write_text(json.dumps(tracks))


REAL = {"bmx-trees": 2, "horsejump-high": 2, "soapbox": 3}  # sequences with several objects, and how many
STEP = 6  # every sixth frame


def write_real(folder: Path, images: Path) -> None:
    """The same for real label images: each object, and all of them, against those of five frames later.

    The objects of an image do not overlap, so the official code's sum of masks is their union.
    """
    videos: dict[str, Any] = {}
    tracks: dict[str, Any] = {}
    for video, count in REAL.items():
        labels = [np.asarray(Image.open(place)) for place in sorted((images / video).glob("*.png"))]
        shown = range(0, len(labels) - 5, STEP)
        names, first = [f"{at:05d}" for at in shown], len(tracks)
        height, width = labels[0].shape
        entry = {"vid_id": 0, "height": height, "width": width, "frames": names, "expressions": {}}
        for number in range(count):
            tracks[str(first + number)] = [rle((labels[at] == number + 1).astype(np.uint8)) for at in shown]
        for part in range(count + 1):
            objects = [part] if part < count else list(range(count))
            ids = [first + number for number in objects]
            words = {"exp": f"words {part}", "obj_id": ids, "anno_id": ids, "type_id": part % 2}
            entry["expressions"][str(part)] = words
            place = folder / "predictions" / video / str(part)
            place.mkdir(parents=True)
            for name, at in zip(names, shown, strict=True):
                made = np.isin(labels[at + 5], [number + 1 for number in objects])
                Image.fromarray(made.astype(np.uint8)).save(place / f"{name}.png")
        videos[video] = entry
    (folder / "meta_expressions_valid_.json").write_text(json.dumps({"videos": videos}))
    (folder / "mask_dict.json").write_text(json.dumps(tracks))
