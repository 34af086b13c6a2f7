"""Masks as PNG files: folders or zips of ``<video>/<expression or object>/<frame>.png``, and palette images.

A pixel is inside where the image is not 0: masks are written as 0/1, 0/255, or with a palette.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from evaluation.score.given import Given, id_name, video_part
from pipeline.errors import UserError

_FLAT = ("P", "L", "1", "I;16", "I")  # one number per pixel
_WRAPPERS = ("Annotations", "annotations", "masks", "valid", "valid_u")  # folders around the videos


class MaskFiles:
    """The PNG files of a folder or of a zip. Sent to another process it opens its zip again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._zip: zipfile.ZipFile | None = None

    def __getstate__(self) -> dict[str, Path]:
        return {"place": self.place}

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__init__(state["place"])  # type: ignore[misc]

    def names(self) -> list[str]:
        """Paths of all PNG files, sorted."""
        if self.place.is_file():
            return sorted(
                n for n in self._archive().namelist() if n.lower().endswith(".png") and "__MACOSX" not in n
            )
        return sorted(p.relative_to(self.place).as_posix() for p in self.place.rglob("*.png"))

    def read(self, name: str) -> np.ndarray:
        """Values [H, W] of an image; indices where it has a palette. Raises UserError for a damaged one."""
        try:
            data = self._archive().read(name) if self.place.is_file() else (self.place / name).read_bytes()
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image if image.mode in _FLAT else image.convert("L"))
        except (OSError, ValueError, SyntaxError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self.place}, {name}", f"is not a readable PNG ({error}).", "Write it again."
            ) from None

    def inside(self, name: str) -> np.ndarray:
        """Where a mask is [H, W] bool."""
        return self.read(name) != 0

    def _archive(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip = zipfile.ZipFile(self.place)
            except zipfile.BadZipFile as error:
                raise UserError(
                    str(self.place), f"is not a readable zip ({error}).", "Make it again."
                ) from None
        return self._zip


def tracks(files: MaskFiles) -> Iterator[Given]:
    """One prediction for each folder of frames: the last part of its path is the expression."""
    folders: dict[PurePosixPath, dict[str, str]] = {}
    for name in files.names():
        path = PurePosixPath(name)
        folders.setdefault(path.parent, {})[path.stem] = name
    common = _wrapper(list(folders))
    for folder, frames in folders.items():
        inner = folder.relative_to(common)
        if len(inner.parts) < 2:
            raise UserError(
                f"{files.place}, {folder}",
                "lies directly below the root; masks of expressions are in VIDEO/EXPRESSION/FRAME.png.",
                "Point --predictions at the folder above the videos, or score palette images with "
                "`ufvideo score masks`.",
            )
        video, part = inner.parent.as_posix(), inner.name
        yield Given(
            where=f"{files.place}, {folder}",
            names=(video_part(video, part), id_name(f"{video}/{part}")),
            masks=_loaders(files, frames),
        )


def _loaders(files: MaskFiles, frames: Mapping[str, str]) -> dict[str, partial[np.ndarray]]:
    return {stem: partial(files.inside, name) for stem, name in frames.items()}


def _wrapper(folders: list[PurePosixPath]) -> PurePosixPath:
    """A folder such as ``Annotations`` around all videos, which is no part of their names."""
    common = PurePosixPath()
    while True:
        heads = {folder.relative_to(common).parts[:1] for folder in folders}
        if len(heads) != 1 or not (head := heads.pop()) or head[0] not in _WRAPPERS:
            return common
        common = common / head[0]
