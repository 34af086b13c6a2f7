"""Irregularities of a video, which concern every sample that names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datasets_prep.passes.locate import Place
from pipeline.media import stills
from pipeline.media.same_video import head_sha256
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import VideoRef
from pipeline.storage.listing import Stat
from pipeline.storage.location import Location


def irregular_media(video: VideoRef, later: Iterable[tuple[int, Place]], *, listed: bool) -> list[Irregular]:
    """Irregularities of a probed video. ``later``: places of the same name in later media folders, by number.

    ``listed``: the annotations list its stills one by one, and so define their order.
    """
    return [*(() if listed else _frame_names(video)), *_other_media(video, later)]


def _frame_names(video: VideoRef) -> Iterator[Irregular]:
    if stills.numbers_of_several_widths(video.frames):
        odd = next(a for a, b in zip(video.frames, sorted(video.frames), strict=True) if a != b)
        detail = f"{video.path}: {odd} and others stand in the order of their numbers, not of their names"
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
