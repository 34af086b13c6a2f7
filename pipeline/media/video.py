"""Probe and decode video: files in any codec that FFmpeg reads, and folders of still frames.

A frame index counts the pictures that a player shows from 0, as in every ``Sample``; ``film.py`` defines
them, and ``tests/pipeline/test_frame_zoo.py`` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.media.decoding import decode_film
from pipeline.media.files import VideoError, check_size, open_image, plain
from pipeline.media.film import open_film
from pipeline.media.probing import measure
from pipeline.media.stills import list_frames
from pipeline.times.frame_times import uneven_starts

FOLDER_FPS = 3.0  # of a folder of frames whose source does not give its rate; UFVideo assumes the same


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """The result of probing. ``height`` and ``width`` are as a player shows the pictures."""

    num_frames: int
    fps: float  # frames per second on average: num_frames / duration_s
    duration_s: float  # from the first frame's start to the last frame's end
    duration_source: str  # "stream": packets of the video stream; "frames/fps": an assumed or header rate
    frame_starts_s: tuple[float, ...] = ()  # start of each frame, from the first one; () at a constant rate
    start_s: float = (
        0.0  # start of the first picture on the clock of a player, whose 0 is where the file begins
    )
    height: int
    width: int


# ---------------------------------------------------------------------------------------------- probing


def probe(path: Path, *, frames: Sequence[str] = (), folder_fps: float = FOLDER_FPS) -> VideoInfo:
    """Count the pictures that a player shows, and measure their times.

    Exact for variable frame rates, edit lists, hidden frames and wrong headers. If packets are enough (most
    MP4 and Matroska files) they are read and one picture is decoded; any other file is decoded whole. With
    ``frames`` (or when ``path`` is a folder) the names are still images of one rate, ``folder_fps``.

    Raises VideoError when the file is missing, is not a video, is cut off, or does not decode.
    """
    if frames or path.is_dir():
        return _probe_folder(path, tuple(frames) or list_frames(path), folder_fps)
    film = measure(path)
    height, width = film.orientation.size(film.height, film.width)
    starts_s = film.starts_s
    duration_s = film.end_s - starts_s[0]
    try:
        frame_starts_s = uneven_starts(starts_s, film.end_s)
    except ValueError as error:
        raise VideoError(f"{path}: {error}") from error
    return VideoInfo(
        num_frames=len(starts_s),
        fps=len(starts_s) / duration_s,
        duration_s=duration_s,
        duration_source=film.end_source,
        frame_starts_s=frame_starts_s,
        start_s=round(max(starts_s[0] - film.zero_s, 0.0), 6),
        height=height,
        width=width,
    )


def header_frames(path: Path) -> int:
    """The number of frames in a video file's header, 0 if it has none. It may be wrong."""
    with open_film(path) as (_, stream):
        return max(int(stream.frames), 0)


def _probe_folder(folder: Path, names: Sequence[str], fps: float) -> VideoInfo:
    width, height = _image_size(folder / names[0])
    for name in names:  # only the headers are read
        size = _image_size(folder / name)
        if size != (width, height):
            raise VideoError(
                f"{folder / name}: is {size[1]}x{size[0]}, {names[0]} is {height}x{width} (height x width)"
            )
    return VideoInfo(
        num_frames=len(names),
        fps=fps,
        duration_s=len(names) / fps,
        duration_source="frames/fps",
        height=height,
        width=width,
    )


def _image_size(path: Path) -> tuple[int, int]:
    with open_image(path) as image:
        check_size(path, *image.size)
        return image.size


# ---------------------------------------------------------------------------------------------- decoding


def decode(
    path: Path,
    indices: Sequence[int],
    size: tuple[int, int] | None = None,
    *,
    frames: Sequence[str] = (),
    num_frames: int | None = None,
) -> np.ndarray:
    """Frames at ``indices`` (any order, repeats allowed) as RGB uint8 [N, H, W, 3].

    ``size`` = (height, width) resizes each frame (bicubic, anti-aliased, aspect not kept). ``num_frames``,
    if known from a probe, is compared with the file. Thread-safe: nothing is shared between calls.

    Raises VideoError for an unreadable file, IndexError for an index that is not in the video.
    """
    place: dict[int, list[int]] = {}
    for position, index in enumerate(indices):
        place.setdefault(index, []).append(position)
    out: np.ndarray | None = None
    for index, picture in stream(path, indices, frames=frames, num_frames=num_frames):
        picture = picture if size is None else _resize(picture, size)
        if out is None:
            out = np.empty((len(indices), *picture.shape), np.uint8)
        if picture.shape != out.shape[1:]:
            raise VideoError(f"{path}: frame {index} is {picture.shape[:2]}, others are {out.shape[1:3]}")
        out[place[index]] = picture
    assert out is not None, "a stream without a picture ends with an error"
    return out


def stream(
    path: Path, indices: Sequence[int], *, frames: Sequence[str] = (), num_frames: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Each distinct frame of ``indices`` with its index, ascending; few are in memory at a time.

    Raises as ``decode`` does, some errors only when their frame is reached.
    """
    distinct = sorted(set(indices))
    if not distinct:
        raise ValueError("no frame index given")
    if frames or path.is_dir():
        names = tuple(frames) or list_frames(path)
        _check_range(path, distinct, len(names))
        pictures: Iterator[tuple[int, np.ndarray]] = ((i, _read_image(path / names[i])) for i in distinct)
    else:
        pictures = decode_film(path, distinct, num_frames)
    done = 0
    for index, picture in pictures:
        yield index, picture
        done += 1
    if done != len(distinct):
        raise VideoError(f"{path}: only {done} of {len(distinct)} wanted frames decode; the file is damaged")


def _check_range(path: Path, indices: list[int], total: int) -> None:
    if indices[0] < 0 or indices[-1] >= total:
        raise IndexError(f"{path}: frames {indices[0]}-{indices[-1]} of a video of {total} frames")


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _read_image(path: Path) -> np.ndarray:
    with open_image(path) as image:
        try:
            return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise VideoError(f"{path}: damaged image ({plain(error)})") from error
