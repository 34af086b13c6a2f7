"""Finds and probes media, and says what is irregular about them.

Every distinct video is probed once, however many records name it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from datasets_prep.draft import Reason, RejectError, unforeseen
from datasets_prep.passes.locate import Listings, Place
from datasets_prep.passes.media_table import MEDIA_SCHEMA
from datasets_prep.passes.read import plain_detail
from pipeline.media import stills, video
from pipeline.media.footage import inspect
from pipeline.media.same_video import head_sha256
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import VideoRef
from pipeline.storage.links import strays
from pipeline.storage.listing import Stat
from pipeline.storage.location import Location


def probe_media(
    media: pa.Table, resolve: Callable[[str], Location], listings: Listings | None = None
) -> pa.Table:
    """Columns ``media_id`` and ``media`` -> MEDIA_SCHEMA, one row each."""
    listings = listings or list_media(media, resolve)
    rows = [
        {"media_id": row["media_id"], **_row(row["media"], listings)}
        for row in media.select(["media_id", "media"]).to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=MEDIA_SCHEMA)


def list_media(media: pa.Table, resolve: Callable[[str], Location]) -> Listings:
    """Which of a table's media are in which media folder."""
    rows = (json.loads(text) for text in media["media"].to_pylist())
    return Listings(((roots, candidates) for roots, candidates, _, _ in rows), resolve)


def _row(media: str, listings: Listings) -> dict[str, Any]:
    roots, candidates, frames, fps = json.loads(media)
    try:
        place = listings.find(roots, candidates)
        rate = fps or video.FOLDER_FPS
        found = probe_video(place.location, place.path, tuple(frames), rate, place.stat)
    except RejectError as error:
        return {"reason": str(error.reason), "detail": plain_detail(error), "video": None, "irregular": []}
    fields = {name: getattr(found, name) for name in VideoRef.__slots__}
    irregular = _irregular(found, listings.later(roots, place), listed=bool(frames))
    return {"reason": "", "detail": "", "video": fields, "irregular": [i._asdict() for i in irregular]}


def probe_video(
    place: Location, path: str, frames: tuple[str, ...], folder_fps: float, listed: Stat | None = None
) -> VideoRef:
    """Probe one file or folder and hash its bytes. Raises RejectError with the reason.

    ``listed`` is its entry in a listing. Storage that does not answer is not a fault of the video, so errors
    of fetching propagate.
    """
    is_dir = listed.is_dir if listed else place.is_dir()
    if frames and not is_dir:
        raise RejectError(Reason.MEDIA_UNREADABLE, f"{path} is a file where a folder of frames is expected")
    try:
        local = place.fetch_dir() if is_dir else place.fetch(listed)
    except FileNotFoundError as error:
        raise RejectError(Reason.MEDIA_MISSING, f"{path} has gone since it was listed") from error
    try:
        names = _frame_names(local, frames) if is_dir else ()
        for file in [local / name for name in names] or [local]:
            _check_file(file)
            if is_dir and place.is_local and file.is_symlink():
                _check_link(file, _root_of(place, path), place.links_to)
        return inspect(local, path, names, folder_fps)
    except video.VideoError as error:
        # The message begins with the local path, which differs between machines.
        problem = str(error).removeprefix(f"{local}: ").removeprefix(f"{local}/")
        raise RejectError(Reason.MEDIA_UNREADABLE, f"{path}: {problem}") from error
    except OSError as error:
        name = f"{path}/{Path(error.filename).name}" if is_dir and error.filename else path
        raise RejectError(Reason.MEDIA_UNREADABLE, f"{name}: {error.strerror or error}") from error
    except (RejectError, AssertionError, MemoryError):
        raise
    except Exception as error:  # decoders have error classes of every kind
        raise unforeseen(error, path) from error


def _check_file(file: Path) -> None:
    """Raise OSError for what is not a file.

    Opening a named pipe would wait for ever. (``join`` has checked the links in an annotation's path.)
    """
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        problem = os.strerror(number) if stat.S_ISDIR(mode) else "is not a file but a pipe or a device"
        raise OSError(number, problem, str(file))


def _check_link(file: Path, root: str, links_to: Sequence[str]) -> None:
    """Raise OSError for a frame that is a link to a place that the plan does not allow."""
    if real := strays(str(file), root, links_to):
        problem = f"is a link to {real}, outside the media folder and `data.allow_links_to`"
        raise OSError(errno.EPERM, problem, str(file))


def _root_of(place: Location, path: str) -> str:
    """The media folder below which a path was found."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return place.uri.removesuffix("/" + "/".join(parts))


def _frame_names(folder: Path, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the frames as they are on disk; a listed name may lack its suffix."""
    if listed and all((folder / name).is_file() for name in listed):
        return _utf8(listed)  # no need to list the folder, which may hold a whole set of pictures
    there = stills.image_names(folder)
    if not listed:
        return stills.in_order(folder, _utf8(there))
    by_stem = {name.rsplit(".", 1)[0]: name for name in reversed(there)}
    known = set(there)
    names = tuple(name if name in known else by_stem.get(name, "") for name in listed)
    missing = [expected for expected, name in zip(listed, names, strict=True) if not name]
    if missing:
        raise RejectError(
            Reason.MEDIA_MISSING, f"{len(missing)} of {len(listed)} frames, the first is {missing[0]}"
        )
    return _utf8(names)


def _utf8(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names. Raises RejectError for one that is not UTF-8, which a shard cannot hold."""
    for name in names:
        if name.encode("utf-8", "replace").decode("utf-8") != name:
            raise RejectError(Reason.MEDIA_UNREADABLE, f"the name of frame {name!a} is not UTF-8")
    return names


def _irregular(video: VideoRef, later: Iterable[tuple[int, Place]], *, listed: bool) -> list[Irregular]:
    """Irregularities of a probed video. ``later``: places of the same name in later media folders, by number.

    ``listed``: the annotations list its stills one by one, and so define their order.
    """
    return [*(() if listed else _odd_names(video)), *_other_media(video, later)]


def _odd_names(video: VideoRef) -> Iterator[Irregular]:
    if stills.numbers_of_several_widths(video.frames):
        odd = next(a for a, b in zip(video.frames, sorted(video.frames), strict=True) if a != b)
        detail = f"{video.path}: {odd} and others are in the order of their numbers, not of their names"
        yield Irregular(Irregularity.FRAME_NAMES, detail)


def _other_media(video: VideoRef, later: Iterable[tuple[int, Place]]) -> Iterator[Irregular]:
    for number, place in later:
        if not _same_or_nothing(place.location, place.stat, video):
            detail = f"{video.path} is another file in media folder {number}; that of an earlier one is taken"
            yield Irregular(Irregularity.MEDIA_DIFFERS, detail)


def _same_or_nothing(place: Location, listed: Stat | None, video: VideoRef) -> bool:
    """Compares the size, and on a local disk also the head. A remote folder of stills passes."""
    if listed is not None:
        return bool(video.frames) or listed.size == video.size_bytes
    try:
        if video.frames:
            return not place.is_dir() or head_sha256(place.local_path, video.frames) == video.head_sha256
        if place.size() != video.size_bytes:
            return False
        return head_sha256(place.local_path, ()) == video.head_sha256
    except FileNotFoundError:
        return not place.is_dir()  # a folder that lacks a frame
