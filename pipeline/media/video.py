"""Probe and decode video: files in any codec that FFmpeg reads, and folders of still frames.

A frame index counts decoded frames from 0, as every ``Sample`` does. Headers are not believed: their frame
count can be wrong, and their duration may be that of the sound track.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.containers import promised_bytes
from pipeline.media.files import (
    MOST_PIXELS,
    VideoError,
    av,
    check_size,
    open_image,
    open_video,
    plain,
)
from pipeline.times.frame_times import uneven_starts

FOLDER_FPS = 3.0  # of a folder of frames whose source does not tell its rate; UFVideo assumes the same
_CHUNK = 8  # frames decoded at a time, so that full-size pixels of a long request never lie in memory at once


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What probing said. ``height`` and ``width`` are as displayed, that is after ``rotation`` degrees."""

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
    rotation: int = 0


# ---------------------------------------------------------------------------------------------- probing


def probe(path: Path, *, frames: Sequence[str] = (), folder_fps: float = FOLDER_FPS) -> VideoInfo:
    """Count frames and measure time without decoding more than the first frame.

    Packets are read, not the header: exact for variable frame rates, edit lists and lying headers. With
    ``frames`` (or when ``path`` is a folder) the names are still images of one rate, ``folder_fps``.

    Raises VideoError when the file is missing, is no video, or has no decodable first frame.
    """
    if frames or path.is_dir():
        return _probe_folder(path, tuple(frames) or list_frames(path), folder_fps)
    scan = _scan(path, look=True)
    rotation = scan.rotation
    height, width = (scan.width, scan.height) if rotation % 180 else (scan.height, scan.width)
    starts_s, source = scan.starts_s, scan.end_source
    duration_s = scan.end_s - starts_s[0]
    try:
        frame_starts_s = uneven_starts(starts_s, scan.end_s)
    except ValueError as error:
        raise VideoError(f"{path}: {error}") from error
    return VideoInfo(
        num_frames=len(starts_s),
        fps=len(starts_s) / duration_s,
        duration_s=duration_s,
        duration_source=source,
        frame_starts_s=frame_starts_s,
        start_s=round(max(starts_s[0] - scan.zero_s, 0.0), 6),
        height=height,
        width=width,
        rotation=rotation,
    )


def header_frames(path: Path) -> int:
    """How many frames a video file's header promises, 0 if it promises nothing. It is not to be believed."""
    with open_video(path) as container:
        return max(int(container.streams.video[0].frames), 0)


def list_frames(folder: Path) -> tuple[str, ...]:
    """Names of the still images in a folder, in order; hidden and other files are no frames."""
    if not folder.is_dir():
        raise VideoError(f"{folder}: no such folder")
    names = (n for n in os.listdir(folder) if not n.startswith("."))
    frames = tuple(sorted(n for n in names if n.lower().endswith((".jpg", ".jpeg", ".png", ".webp"))))
    if not frames:
        raise VideoError(f"{folder}: holds no jpg, png or webp frames")
    return frames


def _probe_folder(folder: Path, names: Sequence[str], fps: float) -> VideoInfo:
    width, height = _image_size(folder / names[0])
    for name in names:  # the headers alone are read
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


@dataclass(slots=True)
class _Scan:
    """Start of each shown frame and end of the last one, in seconds; and what the first frame looks like."""

    starts_s: list[float]
    end_s: float
    end_source: str
    height: int = 0  # as stored, before ``rotation`` degrees
    width: int = 0
    rotation: int = 0
    zero_s: float = 0.0  # what a player calls 0, on the clock of ``starts_s``


def _scan(path: Path, *, look: bool = False) -> _Scan:
    """Read all packets of a file once; with ``look`` its first frame is decoded on the way."""
    with open_video(path, parse=False) as container:
        stream = container.streams.video[0]
        if look:
            check_size(path, stream.width, stream.height)
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # whatever the header says
            stream.thread_count = 1  # for one frame, starting threads takes longer than decoding
        first = None
        unit = float(stream.time_base)
        zero_s = (
            max(container.start_time or 0, 0) / 1e6
        )  # sound before 0 primes its decoder and is not played
        shown: list[tuple[int, int]] = []
        count, last_packet = 0, None
        for packet in _packets(path, container, stream):
            if look and first is None:
                first = next(iter(_decoded(path, packet)), None)
            if not packet.size:
                continue
            count, last_packet = count + 1, packet
            when = packet.pts if packet.pts is not None else packet.dts
            if not packet.is_discard and when is not None:
                shown.append((when, packet.duration or 0))
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        torn = last_packet is not None and last_packet.is_corrupt
        _check_whole(path, torn, missing=not stream.frames or stream.frames > count)
    if not shown:
        raise VideoError(f"{path}: holds no video frame")
    if look and first is None:
        raise VideoError(f"{path}: no frame decodes")
    shown.sort()
    starts = [when * unit for when, _ in shown]
    last, source = shown[-1][1] * unit, "stream"
    if last <= 0:  # some containers do not say how long a frame lasts
        last = 1 / rate if rate else (starts[-1] - starts[0]) / max(len(starts) - 1, 1)
        source = "frames/fps"
    if starts[-1] + last <= starts[0]:
        raise VideoError(f"{path}: its frames carry no time")
    found = _Scan(starts, starts[-1] + last, source, zero_s=zero_s)
    if first is not None:
        found.height, found.width, found.rotation = first.height, first.width, first.rotation % 360
    return found


def _packets(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """All packets of a stream, and at the end an empty one that makes the decoder give what it holds."""
    try:
        yield from container.demux(stream)
    except av().FFmpegError as error:
        raise VideoError(f"{path}: packets are damaged ({plain(error)})") from error


def _decoded(path: Path, packet: Any) -> Any:
    try:
        return packet.decode()
    except av().FFmpegError as error:
        raise VideoError(f"{path}: the first frame does not decode ({plain(error)})") from error


def _check_whole(path: Path, torn: bool, missing: bool) -> None:
    """Raise VideoError for a file that was cut off: its times would be told of a part of what was annotated.

    ``torn``: its last packet is not whole. ``missing``: its header does not say that all frames were there.
    """
    size, promised = path.stat().st_size, promised_bytes(path) if missing else 0
    if torn or promised > size:
        more = f", {size} of {promised} bytes are there" if promised > size else ""
        raise VideoError(f"{path}: is cut off{more}")


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

    ``size`` = (height, width) resizes each frame (bicubic, anti-aliased, aspect not kept), the same way
    whichever decoder is used. ``num_frames``, when known from a probe, saves counting packets again.
    decord decodes where it can; PyAV takes over for codecs that it lacks (AV1), for files whose packets are
    not all shown, and on platforms without it. Thread-safe: nothing is shared between calls.

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
    """Each distinct frame of ``indices`` with its index, rising, as ``decode`` gives it; few are in memory.

    Raises as ``decode`` does, some of it only when the frame comes that is not there.
    """
    wanted = sorted(set(indices))
    if not wanted:
        raise ValueError("no frame index given")
    if frames or path.is_dir():
        names = tuple(frames) or list_frames(path)
        _check_range(path, wanted, len(names))
        pictures: Iterator[tuple[int, np.ndarray]] = ((i, _read_image(path / names[i])) for i in wanted)
    else:
        total = num_frames or len(_scan(path).starts_s)
        _check_range(path, wanted, total)
        pictures = _decode_file(path, wanted, total)
    done = 0
    for index, picture in pictures:
        yield index, picture
        done += 1
    if done != len(wanted):
        raise VideoError(f"{path}: only {done} of {len(wanted)} wanted frames decode; the file is damaged")


def _decode_file(path: Path, wanted: list[int], total: int) -> Iterator[tuple[int, np.ndarray]]:
    reader = _decord_reader(path, total)
    if reader is None:
        yield from _decode_av(path, wanted)
        return
    for at in range(0, len(wanted), _CHUNK):
        part = wanted[at : at + _CHUNK]
        try:
            pixels = reader.get_batch(part).asnumpy()
        except Exception as error:  # decord has one error class for everything, and it derives from Exception
            if "from_size == to_size" in str(error):  # of narrow videos, whose rows the decoder fills up
                yield from _decode_av(path, wanted[at:])
                return
            raise VideoError(f"{path}: frames {part[0]}-{part[-1]} do not decode ({plain(error)})") from error
        yield from zip(part, pixels, strict=True)


def _decord_reader(path: Path, total: int) -> Any | None:
    """A reader, or None where PyAV has to do the work."""
    decord = _decord()
    if decord is None:
        return None
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
    except Exception:  # any codec or container that it lacks; PyAV tells real damage from that
        return None
    return reader if len(reader) == total else None


def _decode_av(path: Path, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Sequentially from the start to the last wanted frame: exact whatever the file's index says."""
    left, last = set(wanted), wanted[-1]
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        try:
            for index, frame in enumerate(container.decode(stream)):
                if index in left:
                    turned = np.rot90(frame.to_ndarray(format="rgb24"), k=(frame.rotation % 360) // 90)
                    yield index, np.ascontiguousarray(turned)
                if index >= last:
                    return
        except av().FFmpegError as error:
            raise VideoError(f"{path}: does not decode ({plain(error)})") from error


def _check_range(path: Path, wanted: list[int], total: int) -> None:
    if wanted[0] < 0 or wanted[-1] >= total:
        raise IndexError(f"{path}: frames {wanted[0]}-{wanted[-1]} of a video of {total} frames")


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


@cache
def _decord() -> Any | None:
    try:
        import decord
    except (ImportError, OSError):  # no wheel for this platform
        return None
    decord.logging.set_level(decord.logging.QUIET)
    return decord
