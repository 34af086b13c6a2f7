"""Where the frames of a sample's video come from: the video itself, or what was baked into the shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.media import video
from pipeline.media.same_video import VerifyVideos, head_sha256, verify, whole_sha256
from pipeline.records.sample import VideoRef


def inspect(
    local: Path, path: str, names: tuple[str, ...] = (), folder_fps: float = video.FOLDER_FPS
) -> VideoRef:
    """Probe and hash the video at ``local``, which samples call ``path``; a folder has frames ``names``.

    Raises VideoError for a video that cannot be read, OSError for a file that cannot.
    """
    files = [local / name for name in names] or [local]
    info = video.probe(local, frames=names, folder_fps=folder_fps)
    return VideoRef(
        path=path,
        frames=names,
        num_frames=info.num_frames,
        fps=info.fps,
        duration_s=info.duration_s,
        duration_source=info.duration_source,
        frame_starts_s=info.frame_starts_s,
        start_s=info.start_s,
        height=info.height,
        width=info.width,
        size_bytes=sum(file.stat().st_size for file in files),
        sha256=whole_sha256(local, names),
        head_sha256=head_sha256(local, names),
    )


class Footage(Protocol):
    """Access to the frames of one video. Safe to share between threads."""

    @property
    def place(self) -> str:
        """The local path or the file of a dataset, for messages."""

    def decode(self, indices: Sequence[int]) -> np.ndarray:
        """Frames at ``indices`` (any order, repeats allowed) as RGB uint8 [N, H, W, 3].

        H and W may differ from the video's: baked frames may be smaller. Raises VideoError for what is
        damaged, IndexError for a frame that the video does not have, UserError for one that was not baked.
        """

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Each distinct frame of ``indices`` with its index, ascending, as ``decode`` gives it.

        A few are in memory at a time. Raises as ``decode`` does, some of it only when the frame comes.
        """


@dataclass(frozen=True, slots=True)
class VideoFootage:
    """A video file, or a folder of stills, on this machine.

    Before its first frame is decoded it is compared with the video that was prepared: UserError for another.
    """

    path: Path
    video: VideoRef
    verify: VerifyVideos = VerifyVideos.HEAD

    @property
    def place(self) -> str:
        """The local path."""
        return str(self.path)

    def decode(self, indices: Sequence[int]) -> np.ndarray:
        """RGB uint8 [N, H, W, 3] at the size of the video. Raises VideoError, IndexError or UserError."""
        ref = self._same()
        return video.decode(self.path, indices, frames=ref.frames, num_frames=ref.num_frames or None)

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """As ``decode``, with one reader for all frames."""
        ref = self._same()
        return video.stream(self.path, indices, frames=ref.frames, num_frames=ref.num_frames or None)

    def _same(self) -> VideoRef:
        verify(self.path, self.video, self.verify)
        return self.video
