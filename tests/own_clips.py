"""Clips and records as somebody's own: a square that moves from left to right, in a colour of each clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH, FRAMES, FPS, SIDE = 56, 64, 20, 10, 16
COLOURS = ((220, 40, 40), (40, 90, 220), (40, 180, 60), (220, 200, 40), (200, 60, 200))
TOP, FIRST, STEP = 20, 8, 2  # of the square: its upper edge, its left edge in frame 0, pixels per frame


def names(count: int = len(COLOURS)) -> list[str]:
    return [f"clip-{n + 1}.mp4" for n in range(count)]


def mask(frame: int) -> np.ndarray:
    """Where the square is, [HEIGHT, WIDTH]."""
    inside = np.zeros((HEIGHT, WIDTH), np.uint8)
    inside[TOP : TOP + SIDE, FIRST + STEP * frame : FIRST + STEP * frame + SIDE] = 1
    return inside


def write_clips(folder: Path) -> list[str]:
    """``clip-1.mp4`` to ``clip-5.mp4``, 2 s each."""
    import av

    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in zip(names(), COLOURS, strict=True):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.codec_context.thread_count = 1
            for frame in range(FRAMES):
                picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
                picture[mask(frame) == 1] = colour
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
    return names()


def write_masks(folder: Path, frames: tuple[int, ...] = (0, 4)) -> None:
    """``clip-1/0.png`` ...: the masks of some frames."""
    from PIL import Image

    for name in names():
        (folder / Path(name).stem).mkdir(parents=True, exist_ok=True)
        for frame in frames:
            Image.fromarray(mask(frame) * 255).save(folder / Path(name).stem / f"{frame}.png")


def polygon(frame: int) -> list[list[int]]:
    left = FIRST + STEP * frame
    return [[left, TOP, left + SIDE, TOP, left + SIDE, TOP + SIDE, left, TOP + SIDE]]


def mask_records() -> list[dict[str, Any]]:
    """For each clip a question that is answered with masks."""
    question = "Segment the square."
    marks = {str(frame): polygon(frame) for frame in range(0, FRAMES, 2)}
    return [{"video": name, "question": question, "masks": [marks]} for name in names()]
