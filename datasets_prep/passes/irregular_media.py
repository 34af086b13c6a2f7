"""What is irregular about a video, and concerns every sample that names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.errors import UserError
from pipeline.media import stills
from pipeline.media.same_video import head_sha256
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import VideoRef
from pipeline.storage.location import Location


def irregular_media(
    video: VideoRef, place: Location, roots: Sequence[Location], *, listed: bool
) -> list[Irregular]:
    """Of the probed video at ``place``, below one of the media folders ``roots``.

    ``listed``: the annotations name its stills one by one, and so their order.
    """
    return [*(() if listed else _frame_names(video)), *_other_media(video, place, roots)]


def _frame_names(video: VideoRef) -> Iterator[Irregular]:
    if stills.numbers_of_several_widths(video.frames):
        odd = next(a for a, b in zip(video.frames, sorted(video.frames), strict=True) if a != b)
        detail = f"{video.path}: {odd} and others stand in the order of their numbers, not of their names"
        yield Irregular(Irregularity.FRAME_NAMES, detail)


def _other_media(video: VideoRef, taken: Location, roots: Sequence[Location]) -> Iterator[Irregular]:
    """A later folder with another file of the video's name: one request each where it is remote."""
    earlier = True
    for number, root in enumerate(roots, 1):
        try:
            place = root.join(video.path)
        except UserError:  # a link that leaves the folder
            continue
        earlier = earlier and place != taken
        if not earlier and place != taken and not _same_or_nothing(place, video):
            detail = f"{video.path} is another file in media folder {number}; that of an earlier one is taken"
            yield Irregular(Irregularity.MEDIA_DIFFERS, detail)


def _same_or_nothing(place: Location, video: VideoRef) -> bool:
    """By size, and on a local disk by its head, too. A remote folder of stills passes."""
    try:
        if video.frames:
            if not place.is_local or not place.is_dir():
                return True
            return head_sha256(place.local_path, video.frames) == video.head_sha256
        if place.size() != video.size_bytes:
            return False
        return not place.is_local or head_sha256(place.local_path, ()) == video.head_sha256
    except FileNotFoundError:
        return not place.is_dir()  # a folder that lacks a frame
