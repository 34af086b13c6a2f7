"""Masks as PNG files: folders or zips of ``<video>/<expression or object>/<frame>.png``, and palette images.

A pixel is inside where the image is not 0: masks are written as 0/1, 0/255, or with a palette.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from evaluation.score.given import Given, id_name, video_part
from pipeline.errors import UserError

_FLAT = ("P", "L", "1", "I;16", "I")  # one number per pixel
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)
_WRAPPERS = ("Annotations", "annotations", "masks", "valid", "valid_u")  # folders around the videos


class DamagedMaskError(UserError):
    """A PNG file that holds no image."""


def is_hidden(name: str) -> bool:
    """Whether macOS or an editor put a file there: ``__MACOSX/…``, ``._00000.png``, ``.DS_Store``."""
    path = PurePosixPath(name)
    return path.name.startswith(".") or "__MACOSX" in path.parts


class MaskFiles:
    """The PNG files of a folder or of a zip. Sent to another process it opens its zip again.

    Names have slashes and begin with a folder's name, as if an archive had been unpacked: some programs write
    backslashes, or a root. Nothing is ever unpacked.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._zip: zipfile.ZipFile | None = None
        self._stored: dict[str, str] = {}  # names in the zip

    def __getstate__(self) -> dict[str, Path]:
        return {"place": self.place}

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__init__(state["place"])  # type: ignore[misc]

    def names(self) -> list[str]:
        """Paths of all PNG files, sorted."""
        if self.place.is_file():
            self._archive()
            names = list(self._stored)
        else:
            names = [p.relative_to(self.place).as_posix() for p in self.place.rglob("*")]
        return sorted(name for name in names if name.lower().endswith(".png") and not is_hidden(name))

    def read(self, name: str) -> np.ndarray:
        """Values [H, W] of an image; indices where it has a palette.

        Raises DamagedMaskError for a damaged one, and UserError for one in colours and one that the system
        cannot read.
        """
        values = self._values(name)
        if values.ndim == 2:
            return values
        if (values != values[..., :1]).any():
            raise UserError(
                f"{self.place}, {name}",
                "has colours and no palette, so the numbers of its objects are not known.",
                "Save it with its palette (mode P in Pillow) or in grey, each object with its number.",
            )
        return values[..., 0]

    def _values(self, name: str) -> np.ndarray:
        """[H, W], or [H, W, 3] of an image in colours. Transparency is ignored."""
        where = f"{self.place}, {name}"
        try:
            with Image.open(io.BytesIO(self._content(name))) as image:
                flat = image.mode in _FLAT
                other = "L" if image.mode == "LA" else "RGB"
                return np.asarray(image if flat else image.convert(other))
        except UnidentifiedImageError:  # its text names an object in memory
            reason = "the file is not an image"
        except _DAMAGED as error:
            reason = str(error)
        raise DamagedMaskError(where, f"is not a readable PNG ({reason}).", "Write it again.")

    def _content(self, name: str) -> bytes:
        if self.place.is_file():
            return self._archive().read(self._stored[name])
        try:
            return (self.place / name).read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.place}, {name}", f"cannot be read ({error}).", "Check the disk."
            ) from None

    def inside(self, name: str) -> np.ndarray:
        """Where a mask is [H, W] bool: where any colour is not 0."""
        values = self._values(name) != 0
        return values if values.ndim == 2 else values.any(axis=2)

    def _archive(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip = zipfile.ZipFile(self.place)
            except zipfile.BadZipFile as error:
                raise UserError(
                    str(self.place), f"is not a readable zip ({error}).", "Make it again."
                ) from None
            self._stored = {n.replace("\\", "/").lstrip("/"): n for n in self._zip.namelist()}
        return self._zip


def tracks(files: MaskFiles) -> Iterator[Given]:
    """One prediction for each folder of frames: the last part of its path is the expression."""
    folders: dict[PurePosixPath, dict[str, str]] = {}
    for name in files.names():
        path = PurePosixPath(name)
        folders.setdefault(path.parent, {})[path.stem] = name
    common = _wrapper(list(folders))
    if all(len(folder.relative_to(common).parts) < 2 for folder in folders):
        raise UserError(
            str(files.place),
            f"has no masks in VIDEO/EXPRESSION/FRAME.png; it has {min(files.names())}.",
            "Point --predictions at the folder above the videos, or score palette images with "
            "`ufvideo score masks`.",
        )
    for folder, frames in folders.items():
        inner = folder.relative_to(common)
        video, part = inner.parent.as_posix(), inner.name
        names = [video_part(video, part), id_name(f"{video}/{part}")]
        if len(inner.parts) > 2:  # videos may be in a folder of any name, such as "results"
            names.append(video_part(inner.parent.name, part))
        yield Given(
            where=f"{files.place}, {folder}",
            names=tuple(names) if len(inner.parts) > 1 else (),
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
