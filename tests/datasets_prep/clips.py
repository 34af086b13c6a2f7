"""Tiny real clips for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HEIGHT, WIDTH = 48, 64


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A grey frame whose brightness encodes its index."""
    return np.full((height, width, 3), (index * 9) % 250, np.uint8)


def write_clip(
    path: Path, frames: int = 20, fps: int = 10, codec: str = "libx264", pts: list[int] | None = None
) -> Path:
    """Write a clip; ``pts`` gives the start of each frame in hundredths of a second (variable frame rate)."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        if pts:
            from fractions import Fraction

            stream.codec_context.time_base = Fraction(1, 100)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            if pts:
                frame.pts, frame.time_base = pts[index], stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_folder(path: Path, frames: int = 6, first: int = 0) -> Path:
    """Write a folder of JPEG frames ``00000.jpg`` ..."""
    from PIL import Image

    path.mkdir(parents=True, exist_ok=True)
    for index in range(frames):
        Image.fromarray(picture(index)).save(path / f"{first + index:05d}.jpg")
    return path
