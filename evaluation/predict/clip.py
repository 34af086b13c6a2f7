"""The video of a question: found, probed and named by its content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.media.footage import VideoFootage, inspect
from pipeline.media.stills import list_frames
from pipeline.media.video import VideoError
from pipeline.records.sample import VideoRef
from pipeline.storage.location import Location


@dataclass(frozen=True, slots=True)
class Clip:
    """A probed video: ``ref.path`` is its name, ``path`` its place on this machine, ``uri`` as given."""

    uri: str
    path: Path
    ref: VideoRef

    @property
    def footage(self) -> VideoFootage:
        """Its frames."""
        return VideoFootage(self.path, self.ref)


def open_clip(text: str | Path) -> Clip:
    """A video file, or a folder of frames of one size, local or on S3.

    A folder has no rate of its own; its frames count as FOLDER_FPS a second, as UFVideo takes them.
    Raises UserError if there is no such video, or none that can be read.
    """
    place = Location.parse(text)
    if not is_text(str(text)):
        raise UserError(
            f"{str(text)!a}", "is not a name in UTF-8, as answers are.", "Rename it, or link to it."
        )
    if not place.exists():
        raise UserError(place.uri, "does not exist.", "Give a video file, or a folder of frames.")
    folder = place.is_dir()
    path = place.fetch_dir(hold=True) if folder else place.fetch(hold=True)
    try:
        names = list_frames(path) if folder else ()
        ref = inspect(path, place.name, names)
    except VideoError as error:
        raise unreadable(place.uri, path, error) from error
    return Clip(uri=place.uri, path=path, ref=ref)


def is_text(text: str) -> bool:
    """False for what a terminal or a disk gives in another encoding than UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unreadable(uri: str, path: Path, error: Exception) -> UserError:
    """The UserError for a VideoError or IndexError, without the local path that its text begins with."""
    reason = " ".join(str(error).removeprefix(f"{path}: ").split())
    return UserError(uri, f"cannot be read: {reason}.", "Try to play it; re-encode or fetch it again.")
