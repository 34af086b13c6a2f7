"""The picture asked for or a clear error, never another: every kind of file against ffmpeg's output."""

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

_SAME = 8  # grey levels on average: ffmpeg's conversion to RGB is another than PyAV's


def _kinds(quick: bool) -> list[object]:
    return [pytest.param(clip, id=clip.name) for clip in CLIPS if clip.quick or not quick]


def test_the_zoo_is_large_enough() -> None:
    names = [clip.name for clip in CLIPS]
    assert len(names) == len(set(names))
    assert len(names) >= 60
    assert 10 <= sum(clip.quick for clip in CLIPS) <= 14


def test_pictures_tell_their_numbers() -> None:
    for number in range(0, 100, 7):
        straight = picture(number)
        assert number_of(straight, range(100)) == number
        for other in (straight[::-1], straight[:, ::-1], straight[::-1, ::-1]):
            assert number_of(other, range(100)) != number


@pytest.mark.parametrize("clip", _kinds(quick=True))
def test_some_kinds(tmp_path: Path, clip: Clip) -> None:
    _hold_against_ffmpeg(write(tmp_path, clip), clip)


@pytest.mark.slow
@pytest.mark.parametrize("clip", _kinds(quick=False))
def test_every_kind(tmp_path: Path, clip: Clip) -> None:
    _hold_against_ffmpeg(write(tmp_path, clip), clip)


def _hold_against_ffmpeg(path: Path, clip: Clip) -> None:
    try:
        _compare(path, clip)
    except video.VideoError as error:
        if not clip.rejected or not re.search(clip.rejected, str(error)):
            raise


def _compare(path: Path, clip: Clip) -> None:
    info = video.probe(path)
    want = shown(path, clip.track, info.height, info.width)
    if clip.rejected and info.num_frames != len(want):  # a picture that does not decode keeps its number
        video.decode(path, list(range(info.num_frames)), num_frames=info.num_frames)
    assert info.num_frames == len(want)
    rng = random.Random(clip.name)
    count = len(want)
    asked = list(range(count))
    _same(clip, want, asked, video.decode(path, asked, num_frames=count))
    rng.shuffle(asked)
    part = asked[: count // 3]
    _same(clip, want, part, video.decode(path, part, num_frames=count))
    far = sorted(asked[:6])  # with gaps that are worth a seek
    _same(clip, want, far, video.decode(path, far))
    alone = [count - 1, 0, *asked[:6]]
    for number in alone:
        _same(clip, want, [number], video.decode(path, [number], num_frames=count))
    with ThreadPoolExecutor(4) as pool:
        for number, got in zip(alone, pool.map(lambda n: video.decode(path, [n]), alone), strict=True):
            _same(clip, want, [number], got)
    with pytest.raises(IndexError):
        video.decode(path, [count])


def _same(clip: Clip, want: np.ndarray, asked: list[int], got: np.ndarray) -> None:
    for number, picture_ in zip(asked, got, strict=True):
        assert picture_.shape == want[number].shape
        off = np.abs(picture_.astype(int) - want[number]).mean()
        assert off < _SAME, f"picture {number} of {clip.name} is off by {off:.0f}"


@pytest.mark.parametrize("name", ["b.mp4", "open.ts", "p.webm"])
def test_ffmpeg_shows_what_was_written(tmp_path: Path, name: str) -> None:
    """The zoo's own measure: the pictures tell their numbers after any codec."""
    codec = "libvpx" if name.endswith("webm") else "libx264"
    clip = Clip(name=name, codec=codec, frames=60)
    path = write(tmp_path, clip)
    for pictures in (shown(path, 0, 64, 96), video.decode(path, list(range(60)))):
        assert [number_of(p, range(60)) for p in pictures] == list(range(60))


@pytest.mark.slow
def test_shared_clips_show_their_barcodes(cases: Path) -> None:
    for path in sorted((cases / "video").iterdir()):
        if path.stem.startswith(("L_", "small", "h264", "thumb", "videolater")) and path.is_file():
            count = video.probe(path).num_frames
            asked = random.Random(path.name).sample(range(count), 20)
            found = [_barcode(p) for p in video.decode(path, asked, num_frames=count)]
            assert found == asked, path.name


def _barcode(picture_: np.ndarray) -> int:
    """Ten bits, lowest first, as cases/README.md of the shared folder describes them."""
    down, across = picture_.shape[0] / 240, picture_.shape[1] / 320
    rows = slice(int(16 * down), int(32 * down))
    bits = [
        picture_[rows, int((16 + 28 * b) * across) : int((28 + 28 * b) * across)].mean() > 125
        for b in range(10)
    ]
    return sum(int(bit) << b for b, bit in enumerate(bits))
