"""Decoding gives the requested frame or a clear error, never another frame: compared with ffmpeg's output."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.media import video
from tests.pipeline.zoo.clips import CLIPS
from tests.pipeline.zoo.encode import Clip, shown, write
from tests.pipeline.zoo.pictures import number_of, picture

_SAME = 8  # mean grey levels: ffmpeg's conversion to RGB differs from PyAV's


def _kinds(quick: bool) -> list[object]:
    return [pytest.param(clip, id=clip.name) for clip in CLIPS if clip.quick or not quick]


def test_the_zoo_is_large_enough() -> None:
    names = [clip.name for clip in CLIPS]
    assert len(names) == len(set(names))
    assert len(names) >= 60
    assert 10 <= sum(clip.quick for clip in CLIPS) <= 14


def test_pictures_encode_their_numbers() -> None:
    for number in range(0, 100, 7):
        straight = picture(number)
        assert number_of(straight, range(100)) == number
        for other in (straight[::-1], straight[:, ::-1], straight[::-1, ::-1]):
            assert number_of(other, range(100)) != number


@pytest.mark.parametrize("clip", _kinds(quick=True))
def test_frames_of_some_kinds_of_video_equal_those_of_ffmpeg(tmp_path: Path, clip: Clip) -> None:
    _compare_with_ffmpeg(write(tmp_path, clip), clip)


@pytest.mark.slow
@pytest.mark.parametrize("clip", _kinds(quick=False))
def test_frames_of_every_kind_of_video_equal_those_of_ffmpeg(tmp_path: Path, clip: Clip) -> None:
    _compare_with_ffmpeg(write(tmp_path, clip), clip)


def _compare_with_ffmpeg(path: Path, clip: Clip) -> None:
    try:
        _compare(path, clip)
    except video.VideoError as error:
        if not clip.rejected or not re.search(clip.rejected, str(error)):
            raise


def _compare(path: Path, clip: Clip) -> None:
    info = video.probe(path)
    expected = shown(path, clip.track, info.height, info.width)
    if clip.rejected and info.num_frames != len(expected):  # a frame that does not decode keeps its number
        video.decode(path, list(range(info.num_frames)), num_frames=info.num_frames)
    assert info.num_frames == len(expected)
    rng = random.Random(clip.name)
    count = len(expected)
    indices = list(range(count))
    _same(clip, expected, indices, video.decode(path, indices, num_frames=count))
    rng.shuffle(indices)
    part = indices[: count // 3]
    _same(clip, expected, part, video.decode(path, part, num_frames=count))
    far = sorted(indices[:6])  # with gaps that are worth a seek
    _same(clip, expected, far, video.decode(path, far))
    alone = [count - 1, 0, *indices[:6]]
    for number in alone:
        _same(clip, expected, [number], video.decode(path, [number], num_frames=count))
    with ThreadPoolExecutor(4) as pool:
        for number, got in zip(alone, pool.map(lambda n: video.decode(path, [n]), alone), strict=True):
            _same(clip, expected, [number], got)
    with pytest.raises(IndexError):
        video.decode(path, [count])


def _same(clip: Clip, expected: np.ndarray, indices: list[int], got: np.ndarray) -> None:
    for number, picture_ in zip(indices, got, strict=True):
        assert picture_.shape == expected[number].shape
        off = np.abs(picture_.astype(int) - expected[number]).mean()
        assert off < _SAME, f"picture {number} of {clip.name} differs by {off:.0f} grey levels"


@pytest.mark.parametrize("name", ["b.mp4", "open.ts", "p.webm"])
def test_ffmpeg_and_decoding_show_the_numbers_that_were_written(tmp_path: Path, name: str) -> None:
    """Checks the measure itself: the pictures keep their numbers through any codec."""
    codec = "libvpx" if name.endswith("webm") else "libx264"
    clip = Clip(name=name, codec=codec, frames=60)
    path = write(tmp_path, clip)
    for pictures in (shown(path, 0, 64, 96), video.decode(path, list(range(60)))):
        assert [number_of(p, range(60)) for p in pictures] == list(range(60))


@pytest.mark.slow
def test_real_clips_show_their_barcodes(cases: Path) -> None:
    named = ("L_", "small", "h264", "thumb", "videolater")
    paths = [p for p in sorted((cases / "video").iterdir()) if p.stem.startswith(named) and p.is_file()]
    assert paths
    for path in paths:
        count = video.probe(path).num_frames
        indices = random.Random(path.name).sample(range(count), 20)
        found = [_barcode(p) for p in video.decode(path, indices, num_frames=count)]
        assert found == indices, path.name


def _barcode(picture_: np.ndarray) -> int:
    """Ten bits, lowest first, as cases/README.md of the shared folder describes them."""
    down, across = picture_.shape[0] / 240, picture_.shape[1] / 320
    rows = slice(int(16 * down), int(32 * down))
    bits = [
        picture_[rows, int((16 + 28 * b) * across) : int((28 + 28 * b) * across)].mean() > 125
        for b in range(10)
    ]
    return sum(int(bit) << b for b, bit in enumerate(bits))
