"""Write a clip with PyAV, and change it with the ffmpeg program of the test dependencies."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.zoo.pictures import HEIGHT, WIDTH, picture

FRAMES = 100  # more than are decoded from the beginning without reading the packets


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How a clip of ``FRAMES`` frames is encoded.

    ``name``: file name, whose suffix is the container. ``when``: the time of each frame in units of
    1 / 1000 s, for a variable rate. ``finish`` changes the file. ``track``: index of the video among
    FFmpeg's video tracks. ``rejected``: pattern of the error that is also allowed. ``quick``: part of
    the normal suite.
    """

    name: str
    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)
    params: str = ""  # x264-params, x265-params, svtav1-params
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(10)
    when: Sequence[int] = ()
    size: tuple[int, int] = (HEIGHT, WIDTH)
    frames: int = FRAMES
    draw: Callable[..., np.ndarray] = picture
    muxing: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Path], None] | None = None
    track: int = 0
    rejected: str = ""
    quick: bool = False


def write(folder: Path, clip: Clip) -> Path:
    """Write the clip's file; the test is skipped where this FFmpeg lacks the encoder."""
    import av

    if clip.codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {clip.codec}")
    path = folder / clip.name
    options = dict(clip.options)
    if clip.params:
        options[{"libx264": "x264-params", "libx265": "x265-params"}.get(clip.codec, "svtav1-params")] = (
            clip.params
        )
    with av.open(str(path), "w", options=dict(clip.muxing)) as container:
        stream = container.add_stream(clip.codec, rate=clip.rate, options=options)
        stream.height, stream.width = clip.size
        stream.pix_fmt = clip.pix_fmt
        stream.codec_context.thread_count = 1
        if clip.when:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(clip.frames):
            frame = av.VideoFrame.from_ndarray(clip.draw(number, *clip.size), format="rgb24")
            if clip.when:
                frame.pts, frame.time_base = clip.when[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if clip.finish is not None:
        clip.finish(path)
    return path


def ffmpeg(*arguments: str) -> bytes:
    """Standard output of ffmpeg; the test fails if the program fails."""
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    done = subprocess.run(
        [program, "-hide_banner", "-loglevel", "error", "-nostdin", *arguments],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-500:]
    return done.stdout


def shown(path: Path, track: int, height: int, width: int) -> np.ndarray:
    """RGB [N, H, W, 3] that the program ffmpeg decodes from a file whose frames have that size."""
    data = ffmpeg(
        # With several threads the output for damaged files depends on their number.
        *("-threads", "1", "-i", str(path), "-map", f"0:v:{track}", "-fps_mode", "passthrough"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
    )
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)


def through(*arguments: str, before: Sequence[str] = ()) -> Callable[[Path], None]:
    """Replaces a file by a copy that ffmpeg makes with these options."""

    def change(path: Path) -> None:
        old = path.rename(path.with_name(f"old{path.suffix}"))
        ffmpeg(*before, "-i", str(old), *arguments, str(path))
        old.unlink()

    return change
