"""Frames for training: the needed frames decoded once and cached resized, against whole decodes for every
use.

Exact seeks are compared with decoding from the beginning and with decord, with one thread each.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from benchmarks.compare import Pair, main
from pipeline.media import video
from pipeline.media.footage import VideoFootage
from pipeline.media.frame_choice import sample_indices
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from training.data.decode import CachedFrames
from training.model.processor import View, decode_views, resize

_HEIGHT, _WIDTH, _FPS, _SECONDS = 480, 854, 25, 30
_SIDES = {View.VISION: 384, View.SAM: 1024}
_QUESTIONS = 4  # about one video, as the sources ask
_COPIES = 20  # concatenated copies of the clip make ten minutes
_REAL = Path(os.environ.get("UFVIDEO_SHARED", "../shared")) / "realdata"


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


def write_long(path: Path, clip: Path) -> None:
    """Several concatenated copies of the clip, without encoding it again."""
    with av.open(str(path), "w") as target:
        track, ticks = None, 0
        for _ in range(_COPIES):
            with av.open(str(clip)) as source:
                stream = source.streams.video[0]
                track = track or target.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                        packet.stream = track
                        target.mux(packet)
                ticks += stream.duration or 0


def from_the_beginning(path: Path, indices: Sequence[int]) -> list[np.ndarray]:
    """The pictures at ``indices``, ascending, by decoding all up to the last."""
    requested = set(indices)
    found: list[np.ndarray] = []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in requested:
                found.append(frame.to_ndarray(format="rgb24"))
            if index == indices[-1]:
                break
    return found


def with_decord(path: Path, indices: Sequence[int]) -> np.ndarray:
    """The same by decord. For many files it gives wrong pictures; for these it gives the right ones."""
    import decord

    return decord.VideoReader(str(path), num_threads=1).get_batch(indices).asnumpy()


def ours(path: Path, indices: Sequence[int], count: int) -> np.ndarray:
    """The same by this project's decoder."""
    return video.decode(path, indices, num_frames=count)


def spread(count: int, first: int = 0, last: int | None = None) -> list[int]:
    """32 frames of a video or a part of it."""
    return sorted(set(sample_indices(count, 32, first, count - 1 if last is None else last)))


def real_clips() -> list[tuple[Path, list[int], int]]:
    """Real clips for which decord gives the pictures that a player shows."""
    found = []
    for path in sorted(_REAL.rglob("*.mp4")):
        count = video.probe(path).num_frames
        if np.array_equal(with_decord(path, spread(count)), ours(path, spread(count), count)):
            found.append((path, spread(count), count))
    return found


def all_of(
    way: Callable[[Path, Sequence[int]], Iterable[np.ndarray]], clips: Sequence[tuple[Path, list[int], int]]
) -> list[np.ndarray]:
    """[N, H, W, 3] of each clip, decoded one way."""
    return [np.stack(list(way(path, indices))) for path, indices, _ in clips]


def seeks(clip: Path, long: Path) -> list[Pair]:
    """For the short clip, the long one, a part of it, and real clips."""
    pairs = []
    per_copy = _FPS * _SECONDS
    total = per_copy * _COPIES
    cases = [
        (f"{_SECONDS} s", clip, spread(per_copy), per_copy),
        ("10 minutes", long, spread(total), total),
        ("the ninth of 10 minutes", long, spread(total, total * 8 // 10, total * 9 // 10), total),
    ]
    ways = (("from the beginning", from_the_beginning), ("decord", with_decord))
    for what, path, indices, count in cases:
        pairs += [
            Pair(
                what=f"32 frames of {what}, plain: {name}",
                plain=partial(way, path, indices),
                ours=partial(ours, path, indices, count),
                same=lambda a, b: np.array_equal(np.stack(list(a)), b),
            )
            for name, way in ways
        ]
    real = real_clips()
    if real:
        pairs += [
            Pair(
                what=f"32 frames of each of {len(real)} real clips, plain: {name}",
                plain=partial(all_of, way, real),
                ours=lambda: [ours(path, indices, count) for path, indices, count in real],
                same=lambda a, b: all(map(np.array_equal, a, b)),
            )
            for name, way in ways
        ]
    return pairs


def plain(path: Path, by_view: Mapping[View, tuple[int, ...]]) -> dict[View, dict[int, np.ndarray]]:
    """Every frame of the file decoded to RGB, once for each view, then the needed ones selected."""
    resized: dict[View, dict[int, np.ndarray]] = {}
    for view, indices in by_view.items():
        frames = list(_all_frames(path))
        resized[view] = {i: resize(frames[i], _SIDES[view], view) for i in indices}
    return resized


def _all_frames(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _same(a: dict[View, dict[int, np.ndarray]], b: dict[View, dict[int, np.ndarray]]) -> bool:
    """Whether two results agree; the decoders' colour conversions differ by a grey level or two."""
    return all(np.abs(a[v][i].astype(int) - b[v][i]).mean() < 2 for v in a for i in a[v])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip)
        long = Path(folder) / "long.mp4"
        write_long(long, clip)
        probed = video.probe(clip)
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
        by_view = {View.VISION: indices, View.SAM: indices[::8]}

        def with_cache() -> dict[View, dict[int, np.ndarray]]:
            frames = CachedFrames(lambda _: VideoFootage(clip, ref), _SIDES, capacity_mb=512)
            return [frames.get(sample, by_view) for _ in range(_QUESTIONS)][-1]

        main(
            "frames",
            f"32 frames at 384 pixels and 4 at 1024 from {_SECONDS} s of {_WIDTH} x {_HEIGHT} H.264 at "
            f"{_FPS} frames/s: whole decodes, one for each view (plain), against one decode of the needed "
            "frames and a cache of resized frames (`training/data/decode.py`). Below, decoding alone, in "
            "one thread: from the beginning of the file to the last needed frame, or decord, against this "
            f"project's decoder (`pipeline/media/decoding.py`), for the same clip, for {_COPIES} "
            "concatenated copies of it, and for real clips for which decord gives the right pictures.",
            [
                Pair(
                    what="first visit of a video",
                    plain=lambda: plain(clip, by_view),
                    ours=lambda: decode_views(VideoFootage(clip, ref), by_view, _SIDES),
                    same=_same,
                ),
                Pair(
                    what=f"{_QUESTIONS} questions about it",
                    plain=lambda: [plain(clip, by_view) for _ in range(_QUESTIONS)][-1],
                    ours=with_cache,
                    same=_same,
                ),
                *seeks(clip, long),
            ],
            repeats=3,
        )
