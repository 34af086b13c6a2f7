"""Probing videos: packets are counted, only the first frame is decoded, the bytes are hashed."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.compare import Pair, main
from pipeline.media import video

_HEIGHT, _WIDTH, _FPS, _SECONDS, _COUNT = 360, 640, 25, 20, 40


def write_clip(path: Path, seed: int, codec: str = "libx264") -> None:
    """Twenty seconds at 360p with moving stripes."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.options = {"preset": "veryfast"} if codec == "libx264" else {}
        x = np.arange(_WIDTH)
        for k in range(_FPS * _SECONDS):
            row = ((x + seed * 7 + 3 * k) % 64 * 2 + 60).astype(np.uint8)
            picture = np.repeat(np.repeat(row[None, :, None], _HEIGHT, 0), 3, 2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def plain(path: Path) -> int:
    """Decode all frames to count them, as scripts do that do not trust the header."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def ours(path: Path) -> int:
    """What preparation does for each distinct video."""
    hashlib.file_digest(path.open("rb"), "sha256")
    return video.probe(path).num_frames


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"{n}.mp4" for n in range(_COUNT)]
        for n, clip in enumerate(clips):
            write_clip(clip, n)
        odd = Path(folder) / "odd.avi"
        write_clip(odd, 0, "mpeg4")
        main(
            "probing",
            f"{_COUNT} clips of {_SECONDS} s at {_WIDTH} x {_HEIGHT}, H.264, one core. The aim is 200 videos "
            f"a second, {_COUNT / 200 * 1e3:.0f} ms for all of them. Plain: decode every frame to count it.",
            [
                Pair(
                    what="count frames, measure time and size, hash",
                    plain=lambda: [plain(clip) for clip in clips],
                    ours=lambda: [ours(clip) for clip in clips],
                    same=lambda a, b: a == b,
                ),
                Pair(
                    what="MPEG-4 in AVI, whose packets do not determine what is shown",
                    plain=lambda: plain(odd),
                    ours=lambda: ours(odd),
                    same=lambda a, b: a == b,
                ),
            ],
            repeats=7,
        )
