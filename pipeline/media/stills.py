"""Folders of still images: which files are frames, and in what order."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pipeline.media.files import VideoError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_NUMBER = re.compile(r"([0-9]+)")


def image_names(folder: Path) -> tuple[str, ...]:
    """Names of the images in a folder, sorted as texts; hidden and other files are not frames.

    Raises VideoError where there is no folder, or no image in it.
    """
    if not folder.is_dir():
        raise VideoError(f"{folder}: no such folder")
    names = (n for n in os.listdir(folder) if not n.startswith("."))
    images = tuple(sorted(n for n in names if n.lower().endswith(_SUFFIXES)))
    if not images:
        raise VideoError(f"{folder}: holds no jpg, png or webp frames")
    return images


def list_frames(folder: Path) -> tuple[str, ...]:
    """Names of a folder's frames in order. Raises VideoError as ``image_names`` and ``in_order`` do."""
    return in_order(folder, image_names(folder))


def in_order(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """All images of a folder in the order of their numbers: 2.jpg before 10.jpg, whatever their padding.

    Names without any number keep their order. Raises VideoError where the order cannot be known: an image
    without a number beside numbered ones, or two of one number.
    """
    parts = {name: _parts(name) for name in names}
    for is_numbered in (_is_number, _has_number):
        numbered = [name for name in names if is_numbered(parts[name])]
        if numbered and len(numbered) < len(names):
            odd = next(name for name in names if not is_numbered(parts[name]))
            raise VideoError(
                f"{folder / odd}: has no place among frames that are named by numbers, such as {numbered[0]}"
            )
    if not _has_number(parts[names[0]]):
        return names
    ordered = sorted(names, key=lambda name: parts[name])
    for one, other in pairwise(ordered):
        if parts[one] == parts[other]:
            raise VideoError(f"{folder / other}: has the number of {one}, so one of them is not a frame")
    return tuple(ordered)


def numbers_of_several_widths(names: Sequence[str]) -> bool:
    """Whether frame numbers have several widths, so that names as texts sort otherwise."""
    return list(names) != sorted(names)


def _parts(name: str) -> tuple[tuple[str, int], ...]:
    """The text before each number of a name without its suffix, with the number; -1 after the last text."""
    pieces = _NUMBER.split(name.rsplit(".", 1)[0])
    numbers = [*map(int, pieces[1::2]), -1]
    return tuple(zip(pieces[::2], numbers, strict=True))


def _is_number(parts: tuple[tuple[str, int], ...]) -> bool:
    return len(parts) == 2 and not parts[0][0] and not parts[1][0]


def _has_number(parts: tuple[tuple[str, int], ...]) -> bool:
    return len(parts) > 1
