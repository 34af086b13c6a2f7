"""A DAVIS folder with predictions for Ref-DAVIS17: discs in three videos, or real label images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluation.revos_set import disc

FRAMES = 6
SIZES = {"one": (48, 64), "two": (40, 56), "three": (40, 56)}
OBJECTS = {"one": 3, "two": 2, "three": 1}
REAL = {"bmx-trees": 2, "horsejump-high": 2, "soapbox": 3}  # sequences with several objects, and how many
STEP = 6  # every sixth frame


def object_mask(video: str, number: int, frame: int, shift: int) -> np.ndarray:
    """Mask [H, W] uint8 of an object, ``shift`` pixels off; neighbours overlap where it is not 0."""
    height, width = SIZES[video]
    y, x = 12 + 8 * number + shift, 12 + 14 * number + 2 * frame - 2 * shift
    gone = (number + frame + shift) % 5 == 4 and shift != 0
    return disc(height, width, y, x, 0 if gone else 7 + shift)


def labels(video: str, frame: int) -> np.ndarray:
    """The truth [H, W] uint8, with void at the right of the first object from its second frame on."""
    out = np.zeros(SIZES[video], np.uint8)
    for number in range(OBJECTS[video]):
        out[object_mask(video, number, frame, 0) > 0] = number + 1
    if frame and video != "two":
        out[:, 16 + 2 * frame : 20 + 2 * frame] = np.where(
            out[:, 16 + 2 * frame : 20 + 2 * frame] > 0, 255, 0
        )
    return out


def answer_mask(video: str, number: int, frame: int, run: int) -> np.ndarray:
    """The answer's mask for an expression; run 2 answers with the next object."""
    seen = (number + 1) % OBJECTS[video] if run == 2 else number
    return object_mask(video, seen, frame, 1 + (run + number) % 4)


def merged(masks: list[np.ndarray]) -> np.ndarray:
    """As ReferFormer's inference_davis.py merges them: an argmax with a background of 0.1."""
    background = np.full(masks[0].shape, 0.1)
    return np.argmax(np.stack([background, *masks]), axis=0).astype(np.uint8)


def save(values: np.ndarray, place: Path) -> None:
    """A palette image."""
    place.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette([value for n in range(256) for value in (n, 255 - n, n)])
    image.save(place)


def write_discs(folder: Path) -> None:
    """``DAVIS``, ``merged/anno_K/<video>`` and ``single/<video>/<expression>``."""
    for video, count in OBJECTS.items():
        for frame in range(FRAMES):
            name = f"{frame:05d}.png"
            save(labels(video, frame), folder / "DAVIS/Annotations_unsupervised/480p" / video / name)
            for run in range(4):
                masks = [answer_mask(video, number, frame, run) for number in range(count)]
                save(merged(masks), folder / f"merged/anno_{run}" / video / name)
                for number, mask in enumerate(masks):
                    place = folder / "single" / video / str(4 * number + run) / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask * np.uint8(255)).save(place)
    _write_list(folder, list(OBJECTS))


def write_real(folder: Path, predictions: Path) -> None:
    """Real label images as truth, with a band of void, and those of later frames as predictions."""
    for video, count in REAL.items():
        images = [np.asarray(Image.open(place)) for place in sorted((predictions / video).glob("*.png"))]
        for at in range(0, len(images) - 8, STEP):
            name, true = f"{at:05d}.png", images[at].copy()
            if at:
                true[200:230] = np.where(true[200:230] > 0, 255, 0)
            save(true, folder / "DAVIS/Annotations_unsupervised/480p" / video / name)
            for run in range(4):
                later = images[at + 1 + 2 * run]
                turned = np.where(later > 0, (later - 1 + run) % count + 1, 0).astype(np.uint8)
                save(turned, folder / f"merged/anno_{run}" / video / name)
    _write_list(folder, list(REAL))


def _write_list(folder: Path, videos: list[str]) -> None:
    place = folder / "DAVIS/ImageSets/2017/val.txt"
    place.parent.mkdir(parents=True)
    place.write_text("\n".join(videos) + "\n")
