"""The videos that are open on the page: uploads, and files of the folder that the command was given.

A video is known by an id that nobody can guess. No name that a browser sends is ever part of a path: an
upload is a file called ``video`` in a folder called by its id, and a file of the folder is found in its
listing.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluation.predict.clip import Clip, is_text, open_clip
from evaluation.serve.limits import Limits, RequestError, length_text
from pipeline.errors import UserError
from pipeline.media.files import VideoError, open_video

SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".webm",
        ".mkv",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".wmv",
        ".flv",
        ".ogv",
        ".gif",
    )
)
_PLAYED = {"mov": "video/mp4", "matroska": "video/webm", "ogg": "video/ogg"}
"""FFmpeg's formats that browsers play, with the type that they are served as."""
_NAME_LETTERS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenVideo:
    """A probed video. ``media_type`` is None where no browser plays such a file; ``name`` is only shown."""

    id: str
    name: str
    clip: Clip
    media_type: str | None
    uploaded: bool


class Videos:
    """Thread-safe. ``uploads`` is a folder that belongs to this server; ``folder`` is only read."""

    def __init__(self, uploads: Path, folder: Path | None, limits: Limits) -> None:
        self.limits = limits
        self._uploads, self._folder = uploads, folder
        self._open: dict[str, OpenVideo] = {}  # the oldest first
        self._used: dict[str, int] = {}
        self._leaving: set[str] = set()  # to be closed when they are not used any more
        self._lock = threading.Lock()

    def listing(self) -> tuple[dict[str, Path], int]:
        """Video files of the folder by name, and how many links are left out as they lead out of it."""
        if self._folder is None:
            return {}, 0
        found, outside = {}, 0
        root = self._folder.resolve()
        for entry in sorted(self._folder.iterdir()):
            if entry.suffix.lower() not in SUFFIXES or entry.name.startswith(".") or not is_text(entry.name):
                continue
            if not entry.resolve().is_relative_to(root):
                outside += 1
            elif entry.is_file():
                found[entry.name] = entry
        return found, outside

    def open_listed(self, name: str) -> OpenVideo:
        """A file of the folder. Raises RequestError if it is not listed, too long or cannot be read."""
        path = self.listing()[0].get(name)
        if path is None:
            raise RequestError(
                404,
                shown_name(name),
                "is not in the folder of videos.",
                "Reload the page for the present list.",
            )
        return self._add(secrets.token_urlsafe(16), path, name, uploaded=False)

    def new_upload(self) -> tuple[str, Path]:
        """An id, and the path of the file to write for it."""
        id_ = secrets.token_urlsafe(16)
        folder = self._uploads / id_
        folder.mkdir()
        return id_, folder / "video"

    def open_upload(self, id_: str, path: Path, name: str) -> OpenVideo:
        """An upload that has arrived. Raises RequestError for one that is too long or cannot be read."""
        try:
            return self._add(id_, path, shown_name(name), uploaded=True)
        except RequestError:
            self.discard(id_)
            raise

    def discard(self, id_: str) -> None:
        """Remove the files of an upload, if there are any."""
        shutil.rmtree(self._uploads / id_, ignore_errors=True)

    def get(self, id_: str) -> OpenVideo:
        """Raises RequestError for a video that is not open, or not any more."""
        with self._lock:
            video = self._open.get(id_)
        if video is None:
            raise RequestError(404, "the video", "is no longer open here.", "Open it again.")
        return video

    @contextmanager
    def using(self, id_: str) -> Iterator[OpenVideo]:
        """The video; until the end of the block no other upload takes its place."""
        with self._lock:
            self._used[id_] = self._used.get(id_, 0) + 1
        try:
            yield self.get(id_)
        finally:
            with self._lock:
                self._used[id_] -= 1
                if not self._used[id_]:
                    del self._used[id_]
                leaves = id_ not in self._used and id_ in self._leaving
            if leaves:
                self.close(id_)

    def _add(self, id_: str, path: Path, name: str, *, uploaded: bool) -> OpenVideo:
        media_type = self._header(path, name)
        try:
            clip = open_clip(path)
        except UserError as error:
            raise RequestError(422, name, error.problem, error.fix) from error
        self._check_length(name, clip.ref.duration_s)
        video = OpenVideo(id=id_, name=name, clip=clip, media_type=media_type, uploaded=uploaded)
        with self._lock:
            self._open[id_] = video
            extra = max(len(self._open) - self.limits.open_videos, 0)
            unused = [old for old in self._open if old not in self._used and old != id_]
        for old in unused[:extra]:
            self.close(old)
        return video

    def close(self, id_: str) -> None:
        """Forget a video and remove an upload, once no question is about it."""
        with self._lock:
            if id_ in self._used:
                self._leaving.add(id_)
                return
            self._leaving.discard(id_)
            video = self._open.pop(id_, None)
        if video is not None and video.uploaded:
            self.discard(id_)

    def _header(self, path: Path, name: str) -> str | None:
        """The type for a browser. A length beyond the limit is refused here, before all packets are read."""
        try:
            with open_video(path, parse=False) as container:
                form, length_s = container.format.name, (container.duration or 0) / 1e6
        except VideoError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise RequestError(
                422, name, f"cannot be read: {reason}.", "Choose a video file, such as an MP4."
            ) from error
        self._check_length(name, length_s)
        return _PLAYED.get(form.partition(",")[0])

    def _check_length(self, name: str, seconds: float) -> None:
        if seconds > self.limits.length_s:
            raise RequestError(
                413,
                name,
                f"lasts {length_text(seconds)}, and the longest accepted here is "
                f"{length_text(self.limits.length_s)}.",
                "Cut it, or start the server with a larger --max-minutes.",
            )


def shown_name(text: str) -> str:
    """The last part of a name as a browser sent it, to be shown and for nothing else."""
    last = text.replace("\\", "/").rpartition("/")[2]
    clean = "".join(letter for letter in last if letter.isprintable()).strip()
    return clean[:_NAME_LETTERS] or "the video"
