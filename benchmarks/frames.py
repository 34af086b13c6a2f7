"""Frames for training: one decode of what is needed, kept small, against whole decodes for every use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.compare import Pair, main
from pipeline.media import video as videos
from pipeline.media.footage import VideoFootage
from pipeline.media.frame_choice import sample_indices
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from training.data.decode import CachedFrames
from training.model.processor import View, decode_views, resize

_HEIGHT, _WIDTH, _FPS, _SECONDS = 480, 854, 25, 30
_SIDES = {View.VISION: 384, View.SAM: 1024}
_QUESTIONS = 4  # about one video, as the sources ask


def write_clip(path: Path) -> None:
    """Thirty seconds of H.264 at 480p: a square over moving stripes, a keyframe every ten seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(_FPS))
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.options = {"g": "250", "preset": "veryfast"}
        x = np.arange(_WIDTH)
        for k in range(_FPS * _SECONDS):
            picture = np.repeat(((x + 3 * k) % 64 * 2 + 60).astype(np.uint8)[None, :, None], _HEIGHT, 0)
            picture = np.repeat(picture, 3, 2)
            picture[200:280, k : k + 80] = (220, 40, 40)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def plain(path: Path, wanted: Mapping[View, tuple[int, ...]]) -> dict[View, dict[int, np.ndarray]]:
    """Every frame of the file decoded to RGB, once for each view, then the wanted ones picked."""
    made: dict[View, dict[int, np.ndarray]] = {}
    for view, indices in wanted.items():
        frames = list(_all_frames(path))
        made[view] = {i: resize(frames[i], _SIDES[view], view) for i in indices}
    return made


def _all_frames(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _same(a: dict[View, dict[int, np.ndarray]], b: dict[View, dict[int, np.ndarray]]) -> bool:
    """Decoders differ by a grey level or two in their colour conversion."""
    return all(np.abs(a[v][i].astype(int) - b[v][i]).mean() < 2 for v in a for i in a[v])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip)
        probed = videos.probe(clip)
        ref = VideoRef(
            path="clip.mp4",
            num_frames=probed.num_frames,
            fps=probed.fps,
            duration_s=probed.duration_s,
            width=probed.width,
            height=probed.height,
        )
        sample = Sample(
            dataset="bench",
            key="bench/0",
            task=Task.QA,
            video=ref,
            turns=(Turn(role=Role.USER, text="?"), Turn(role=Role.ASSISTANT, text="!")),
        )
        indices = tuple(sample_indices(ref.num_frames, 32, 0, ref.num_frames - 1))
        wanted = {View.VISION: indices, View.SAM: indices[::8]}

        def with_cache() -> dict[View, dict[int, np.ndarray]]:
            frames = CachedFrames(lambda _: VideoFootage(clip, ref), _SIDES, capacity_mb=512)
            return [frames.get(sample, wanted) for _ in range(_QUESTIONS)][-1]

        main(
            "frames",
            f"32 frames at 384 pixels and 4 at 1024 from {_SECONDS} s of {_WIDTH} x {_HEIGHT} H.264 at "
            f"{_FPS} frames/s: whole decodes, one for each view (plain), against one decode of the wanted "
            "frames, and a cache of what was resized (`training/data/decode.py`).",
            [
                Pair(
                    what="first visit of a video",
                    plain=lambda: plain(clip, wanted),
                    ours=lambda: decode_views(VideoFootage(clip, ref), wanted, _SIDES),
                    same=_same,
                ),
                Pair(
                    what=f"{_QUESTIONS} questions about it",
                    plain=lambda: [plain(clip, wanted) for _ in range(_QUESTIONS)][-1],
                    ours=with_cache,
                    same=_same,
                ),
            ],
            repeats=3,
        )
