"""Palette PNGs, the ground truth of YouTube-VOS and DAVIS: one image per frame, pixels are object ids.

0 is the background and 255 is void (DAVIS: not judged), so object ids are 1 to 254. In the published sets
every listed frame has an image. A missing image says nothing about its frame, so the record is rejected; an
object that is absent from a frame has no pixel in that frame's image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_prep.draft import DraftTrack, Reason, RejectError
from datasets_prep.sources.bases.fields import whole

if TYPE_CHECKING:
    import numpy as np

VOID = 255
_IMAGES = (".jpg", ".jpeg", ".png", ".webp")


class LabelImages:
    """The images of one video, each decoded once, however many objects are asked for.

    ``frames`` are names of frames, with or without their suffix. Only the run lengths of an image's objects
    are kept, so a long video takes little memory.
    """

    def __init__(self, folder: Path, frames: Sequence[str]) -> None:
        self._paths = [folder / image_name(frame) for frame in frames]
        self._frames: list[_Labels] | RejectError | None = None

    def track(self, objects: Sequence[int], *, must_show: bool) -> DraftTrack:
        """The union of some objects in every frame.

        Raises RejectError if an image is missing, is not a palette PNG or does not decode, and with
        ``must_show`` if an object has no pixel in any frame: its id is probably wrong.
        """
        if self._frames is None:
            try:
                self._frames = self._decode()
            except RejectError as error:  # the same for every expression of the video
                self._frames = error
        if isinstance(self._frames, RejectError):
            raise self._frames
        for number in objects if must_show else ():
            if not any(number in labels.counts for labels in self._frames):
                raise RejectError(
                    Reason.MASK_MISSING, f"no pixel of {len(self._frames)} label images has object {number}"
                )
        return DraftTrack(
            masks=tuple(
                (at, tuple(labels.mask(number) for number in objects))
                for at, labels in enumerate(self._frames)
            )
        )

    def void(self) -> DraftTrack:
        """The void pixels of every frame. Raises RejectError as ``track`` does."""
        return self.track((VOID,), must_show=False)

    def _decode(self) -> list[_Labels]:
        missing = [path.name for path in self._paths if not path.is_file()]
        if missing:
            raise RejectError(
                Reason.MASK_MISSING,
                f"{len(missing)} of {len(self._paths)} label images are not there, the first is {missing[0]}",
            )
        return [_Labels(read_labels(path)) for path in self._paths]


class _Labels:
    """One image as a mask of each object in it."""

    def __init__(self, labels_HW: np.ndarray) -> None:
        import numpy as np

        from pipeline.records import masks

        there = np.flatnonzero(np.bincount(labels_HW.ravel(), minlength=VOID + 1))
        ids = there[there > 0]
        self._size = list(labels_HW.shape)
        self._nothing = masks.empty(*labels_HW.shape)
        # One by one: an ordinary picture that is mistaken for labels has hundreds of values.
        self.counts = {number: masks.encode(labels_HW == number) for number in ids.tolist()}

    def mask(self, number: int) -> dict[str, Any]:
        """An RLE of this image's own size, also if the object is absent, so that a wrong size is noticed."""
        return {"size": self._size, "counts": self.counts.get(number, self._nothing)}


def read_labels(path: Path) -> np.ndarray:
    """The values of a palette PNG [H, W], uint8. Raises RejectError for anything else."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            mode, labels_HW = image.mode, np.asarray(image)
    except Exception as error:  # decoders have error classes of every kind
        problem = " ".join(str(error).replace(str(path), path.name).split())[:160]
        raise RejectError(Reason.BAD_MASK, f"{path.name} does not decode ({problem})") from error
    if mode != "P":
        # Grey levels or colours may not be ids: binary masks have 0 and 255.
        raise RejectError(Reason.BAD_MASK, f"{path.name} has colours of mode {mode}, not a palette of ids")
    return labels_HW


def object_ids(value: Any) -> list[int]:
    """The ``obj_id`` of an expression: a number (often as text) or a list of numbers. Raises RejectError."""
    found = [whole(v, "obj_id") for v in (value if isinstance(value, list) else [value])]
    if not found or not all(0 < number < VOID for number in found):
        raise RejectError(Reason.MALFORMED, f"`obj_id` {found} is not an object: those are 1 to {VOID - 1}")
    return found


def image_name(frame: str) -> str:
    """The name of a frame's label image. Raises RejectError for a frame that is not a plain file name."""
    stem = frame.rsplit(".", 1)[0] if frame.lower().endswith(_IMAGES) else frame
    if "/" in stem or "\\" in stem or "\0" in stem:
        raise RejectError(Reason.MALFORMED, f"frame {frame!r} is not a file name")
    return f"{stem}.png"


def image_bytes(folder: Path, frames: Sequence[str]) -> int:
    """Total size in bytes of the existing images of some frames."""
    total = 0
    for frame in frames:
        try:
            total += (folder / image_name(frame)).stat().st_size
        except (OSError, RejectError):
            continue
    return total
