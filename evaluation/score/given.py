"""One prediction of other code, and the names by which its sample is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

Name = tuple[str, ...]
LoadMask = Callable[[], np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A prediction as a file holds it.

    ``names``: an id, (video, words), (category, words), (video, expression id); see ``match``.
    ``span`` is in seconds, or in parts of the video where ``fractions``. ``masks`` load one frame each, by
    the frame's name without its suffix. ``where``, and ``field``, the name of a record's answer, are for
    messages.
    """

    where: str
    names: tuple[Name, ...]
    text: str | None = None
    span: tuple[float, float] | None = None
    windows: tuple[tuple[float, float], ...] = ()  # several spans, of which ``span`` is the first
    confidences: tuple[float, ...] = ()  # of the windows, where the file has them
    fractions: bool = False
    masks: Mapping[str, LoadMask] | None = None
    rle: tuple[Any, ...] | None = None  # one COCO RLE or null per frame
    choice: int | None = None
    tracks: tuple[Mapping[str, Any], ...] = ()  # of this project's own answers: rows of MaskTrack
    failure: str | None = None
    field: str = ""


def stem(path: str) -> str:
    """The name of a video in a path, without its folder and suffix; ids with dots keep them."""
    name = PurePosixPath(path.replace("\\", "/")).name
    return re.sub(r"\.(mp4|webm|avi|mkv|mov|mpg|mpeg|ts|flv|wmv|m4v|gif)$", "", name, flags=re.IGNORECASE)


def words(text: str) -> str:
    """A text as it is compared: lower case, single blanks, no full stop at its end."""
    return " ".join(text.lower().split()).rstrip(" .")


def id_name(value: object) -> Name:
    """An id of a record."""
    return ("id", str(value))


def is_id(name: Name) -> bool:
    """Whether a name is an id."""
    return name[0] == "id"


def is_loose(name: Name) -> bool:
    """Whether a name means a sample only where no other sample has it, too."""
    return name[0] in ("id", "video in category")


def video_words(video: str, text: str) -> Name:
    """A video and a question, a query or an expression."""
    return ("video", stem(video), words(text))


def category_words(category: str, text: str) -> Name:
    """A task or type of question and its words."""
    return ("category", words(category).replace("_", " "), words(text))


def video_in_category(video: str, category: str) -> Name:
    """A video and a task or type of question, as UFVideo writes its answers to MVBench."""
    return ("video in category", stem(video), words(category).replace("_", " "))


def video_part(video: str, part: str) -> Name:
    """A video and the id of an expression or object."""
    return ("part", video.strip("/"), part)
