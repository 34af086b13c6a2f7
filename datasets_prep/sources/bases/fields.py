"""Reads fields of raw records, and rejects records whose fields are missing or of another type."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from datasets_prep.draft import OPEN, DraftSpan, Media, Reason, RejectError, Unit
from datasets_prep.sources.json.parse import Unparsed

# A relative path without empty, "." or ".." parts, backslashes and control characters.
_PLAIN = re.compile(r"(?!\.)[^/\\\0-\x1f]+(?:/(?!\.)[^/\\\0-\x1f]+)*")
# Python's own conversions would also accept 1_0 and the digits of other scripts.
_DIGITS = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_CLIPS = (("start", "end"), ("video_start", "video_end"), ("start_time", "end_time"), ("clip",))
CLIP_FIELDS = frozenset(name for names in _CLIPS for name in names)
LONG_TEXT = 10_000  # characters; regular expressions are fast on any shorter text
_LONGEST_TEXT = 1 << 20  # characters; more than any model reads, so the field holds something else
_LONGEST_PATH = 4096  # characters; no system opens a longer path, and looking for one is slow
_GAP = re.compile(r"\s{1000}")
_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".gif", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv")


def mapping(raw: Any) -> Mapping[str, Any]:
    """The record as a mapping. Raises RejectError for anything else."""
    if type(raw) is dict:
        return raw
    if isinstance(raw, Unparsed):
        raise RejectError(Reason.MALFORMED if raw.valid else Reason.BROKEN_JSON, raw.problem)
    if not isinstance(raw, Mapping):
        raise RejectError(Reason.MALFORMED, f"a record is an object, not {type(raw).__name__}")
    return raw


def text_field(raw: Mapping[str, Any], name: str) -> str:
    """A field that must be text. Raises RejectError."""
    return text_of(raw.get(name), name)


def text_of(value: Any, name: str) -> str:
    """The text in a field; a list of one text is that text. Raises RejectError."""
    value = only(value)
    if value is None:
        raise RejectError(Reason.MALFORMED, f"`{name}` is missing")
    if not isinstance(value, str) or not value.strip():
        raise RejectError(Reason.MALFORMED, f"`{name}` is {excerpt(value)}, a text was expected")
    return value


def expression_of(value: Any, name: str) -> str:
    """An expression with single spaces between its words. Raises RejectError."""
    return " ".join(text_of(value, name).split())


def only(value: Any) -> Any:
    """The item of a list of one, which some writers make of every field; any other value unchanged."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def clip_of(raw: Mapping[str, Any]) -> DraftSpan | None:
    """The clip of a row in seconds, under any of the names that the sets use; None if it has none.

    A missing start is that of the video, a missing end its end. Raises RejectError for two clips in one row.
    """
    there = [names for names in _CLIPS if any(raw.get(name) is not None for name in names)]
    if len(there) > 1:
        raise RejectError(
            Reason.MALFORMED, f"{_clip_fields_of(raw)} name the clip, one pair of seconds was expected"
        )
    if not there:
        return None
    (names,) = there
    if len(names) == 1:
        (name,) = names
        pair = raw[name]
        if not isinstance(pair, list) or len(pair) != 2:
            raise RejectError(
                Reason.MALFORMED, f"`{name}` is {excerpt(pair)}, a start and an end in seconds were expected"
            )
        return DraftSpan(start=number(pair[0], name), end=number(pair[1], name), unit=Unit.SECONDS)
    start, end = (raw.get(name) for name in names)
    return DraftSpan(
        start=0.0 if start is None else number(start, names[0]),
        end=OPEN if end is None else number(end, names[1]),
        unit=Unit.SECONDS,
    )


def refuse_clip(raw: Mapping[str, Any], why: str) -> None:
    """Raise RejectError for a row with a clip, for formats in which a clip has no clear meaning."""
    if listed := _clip_fields_of(raw):
        raise RejectError(Reason.MALFORMED, f"{listed}: {why}")


def _clip_fields_of(raw: Mapping[str, Any]) -> str:
    return " and ".join(f"`{name}`" for names in _CLIPS for name in names if raw.get(name) is not None)


def excerpt(value: Any) -> str:
    """A value for a message, shortened so that the rest of the message can still be read."""
    text = repr(value[:200] if isinstance(value, str) else value)
    return text if len(text) <= 100 else f"{text[:90]} ..."


def check_text(text: str, name: str) -> None:
    """Raise RejectError for text that no format can use: too long, with a huge gap, or with a NUL."""
    if "\0" in text:
        raise RejectError(Reason.MALFORMED, f"{name} holds a NUL character")
    if len(text) > _LONGEST_TEXT:
        raise RejectError(Reason.MALFORMED, f"{name} has {len(text)} characters")
    if len(text) > LONG_TEXT and _GAP.search(text):
        raise RejectError(Reason.MALFORMED, f"{name} holds a thousand blanks in a row")


def media_of(video: Any, *folders: str, folder_fps: float = 0.0) -> Media:
    """Where a record's ``video`` may be: at the path as written, then below each of ``folders``.

    A list of paths is a list of still images in one folder; a list of one video file is that video. An
    absolute path is one on its author's machine, so its trailing parts are tried, longest first. Raises
    RejectError for anything else, and for ``..``.
    """
    if isinstance(video, list):
        if len(video) == 1 and isinstance(video[0], str) and video[0].lower().endswith(_SUFFIXES):
            (video,) = video
        else:
            return _still_images(video, folder_fps)
    if isinstance(video, dict):  # unhashable, and not a path either
        raise RejectError(Reason.MALFORMED, f"`video` is {excerpt(video)}, a path was expected")
    return _file_or_folder(video, folders, folder_fps)


@lru_cache(maxsize=4096)  # rows about one video are neighbours, and each is read twice
def _file_or_folder(video: Any, folders: tuple[str, ...], folder_fps: float) -> Media:
    if video is None:
        raise RejectError(Reason.MALFORMED, "`video` is missing")
    if not isinstance(video, str) or not video.strip():
        raise RejectError(Reason.MALFORMED, f"`video` is {excerpt(video)}, a path was expected")
    if len(video) + max(map(len, folders), default=0) > _LONGEST_PATH:
        raise RejectError(Reason.MALFORMED, f"`video` {excerpt(video)} is too long for a path")
    if _PLAIN.fullmatch(video):  # the common case, of which there are millions
        return Media(candidates=(video, *[f"{f}/{video}" for f in folders if f]), folder_fps=folder_fps)
    parts = [p for p in video.split("/") if p not in ("", ".")]
    if ".." in parts or "\\" in video or "\0" in video or not parts:
        raise RejectError(Reason.MALFORMED, f"`video` {excerpt(video)} is not a path below a media folder")
    if video.startswith("/"):
        paths = ["/".join(parts[at:]) for at in range(len(parts))]
    else:
        paths = ["/".join(parts)]
    extra = [posixpath.join(f, p) for f in folders if f for p in paths]
    return Media(candidates=tuple(dict.fromkeys([*paths, *extra])), folder_fps=folder_fps)


def with_suffix(video: str) -> list[str]:
    """File names that a bare id may have; a name that ends in a video suffix is unchanged."""
    return [video] if video.lower().endswith(_SUFFIXES) else [f"{video}.mp4", video]


def _still_images(paths: list[Any], folder_fps: float) -> Media:
    if not paths or not all(isinstance(p, str) and p for p in paths):
        raise RejectError(Reason.MALFORMED, "`video` is an empty list, or holds items that are not paths")
    folders = {posixpath.dirname(p) for p in paths}
    if len(folders) != 1:
        raise RejectError(Reason.MALFORMED, f"`video` lists images of {len(folders)} folders")
    media = media_of(folders.pop() or ".")
    return Media(
        candidates=media.candidates, frames=tuple(posixpath.basename(p) for p in paths), folder_fps=folder_fps
    )


def whole(value: Any, name: str) -> int:
    """A whole number, also when written as text. Raises RejectError."""
    try:
        if isinstance(value, str) and not _DIGITS.fullmatch(value):
            raise ValueError
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise RejectError(Reason.MALFORMED, f"`{name}` {excerpt(value)} is not a whole number") from None
    if isinstance(value, bool) or (isinstance(value, float) and value != number):
        raise RejectError(Reason.MALFORMED, f"`{name}` {excerpt(value)} is not a whole number")
    return number


def claimed_duration(raw: Mapping[str, Any], name: str = "duration") -> float | None:
    """The duration of the whole video in a record; None where it has none, or not a positive number."""
    try:
        length_s = number(raw[name], name)
    except (KeyError, RejectError):
        return None
    return length_s if length_s > 0 else None


def number(value: Any, name: str) -> float:
    """A finite number, also when written as text. Raises RejectError."""
    try:
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            raise ValueError
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise RejectError(Reason.MALFORMED, f"`{name}` {excerpt(value)} is not a number") from None
    if isinstance(value, bool) or result != result or abs(result) == float("inf"):
        raise RejectError(Reason.MALFORMED, f"`{name}` {excerpt(value)} is not a number")
    return result
