"""Pixels -> H.264 files and JPEG folders. One thread per file: the same scene gives the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.demo.render import render
from datasets_prep.demo.scene import Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFolder:
    """Stills of a scene: file ``names[i]`` holds frame ``indexes[i]``."""

    path: str
    indexes: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaJob:
    """Everything to be written of one scene, at paths relative to the root of the corpora."""

    scene: Scene
    videos: tuple[str, ...] = ()
    folders: tuple[FrameFolder, ...] = ()


def write_media(root: Path, job: MediaJob) -> int:
    """Write all files of one job; returns the bytes written. Independent of every other job."""
    written = 0
    for number, relative in enumerate(job.videos):
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if number == 0:
            write_video(job.scene, path)
        else:
            shutil.copyfile(root / job.videos[0], path)
        written += path.stat().st_size
    for folder in job.folders:
        written += write_frames(job.scene, folder, root)
    return written


def write_video(scene: Scene, path: Path) -> None:
    """Encode a scene as H.264 in MP4 (yuv420p, constant frame rate)."""
    import av  # heavy, and only jobs that encode need it

    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=scene.fps)
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.codec_context.thread_count = 1
        # x264's assembly reads a little memory that nobody wrote, and one file in ten then differs from run
        # to run (MALLOC_PERTURB_ shows it); without assembly the bytes are the same, for a sixth more time.
        stream.codec_context.options = {
            "preset": "veryfast",
            "crf": "18",
            "g": "24",
            "threads": "1",
            "x264-params": "asm=0",
        }
        for index in range(scene.frames):
            pixels, _ = render(scene, index)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def write_frames(scene: Scene, folder: FrameFolder, root: Path) -> int:
    """Write JPEG stills; returns their bytes."""
    from PIL import Image

    target = root / folder.path
    target.mkdir(parents=True, exist_ok=True)
    written = 0
    for index, name in zip(folder.indexes, folder.names, strict=True):
        pixels, _ = render(scene, index)
        path = target / name
        Image.fromarray(pixels).save(path, format="JPEG", quality=95)
        written += path.stat().st_size
    return written
