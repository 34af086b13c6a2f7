"""The video of a question: found, probed and named by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.fingerprint import content_sha256
from pipeline.footage import VideoFootage
from pipeline.schema.sample import VideoRef
from pipeline.storage import Location
from pipeline.video import FOLDER_FPS, VideoError, list_frames, probe


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
    if not place.exists():
        raise UserError(place.uri, "does not exist.", "Give a video file, or a folder of frames.")
    folder = place.is_dir()
    path = place.fetch_dir() if folder else place.fetch()
    try:
        names = list_frames(path) if folder else ()
        info = probe(path, frames=names, folder_fps=FOLDER_FPS)
    except VideoError as error:
        raise unreadable(place.uri, path, error) from error
    digests = [content_sha256(Location.parse(path / name)) for name in names]
    sha256 = hashlib.sha256("".join(digests).encode()).hexdigest() if folder else ""
    return Clip(
        uri=place.uri,
        path=path,
        ref=VideoRef(
            path=place.name,
            frames=names,
            num_frames=info.num_frames,
            fps=info.fps,
            duration_s=info.duration_s,
            duration_source=info.duration_source,
            frame_starts_s=info.frame_starts_s,
            height=info.height,
            width=info.width,
            sha256=sha256 or content_sha256(Location.parse(path)),
        ),
    )


def unreadable(uri: str, path: Path, error: Exception) -> UserError:
    """What to tell a user of a VideoError or IndexError, whose text begins with the local path."""
    reason = " ".join(str(error).removeprefix(f"{path}: ").split())
    return UserError(uri, f"cannot be read: {reason}.", "Try to play it; re-encode or fetch it again.")
