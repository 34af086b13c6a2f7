"""Where packets identify their frames, decoding starts at a seek point, elsewhere at the beginning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.media import decoding, video
from pipeline.media.probing import read_index
from tests.pipeline.zoo.clips import CLIPS
from tests.pipeline.zoo.encode import write
from tests.pipeline.zoo.pictures import number_of

_NAMED = {clip.name: clip for clip in CLIPS}
_CERTAIN = {
    "h264-b.mp4": 4,
    "h264-open.mp4": 1,
    "hevc-open.mp4": 4,
    "vp8.webm": 3,
    "vp9.webm": 3,
    "av1.mp4": 4,
}
_UNCERTAIN = {
    "h264-b.avi": "a container without presentation times",
    "h264-mbaff.mp4": "pictures that may be coded as fields",
    "h264-stamps-of-decoding.mp4": "time stamps that are not presentation times",
    "mpeg4-2.mp4": "a codec that may pack or leave out pictures",
    "trimmed-b.mp4": "an edit list that hides pictures",
}


def _never(*_: object) -> None:
    raise AssertionError("decoded from the beginning")


@pytest.mark.parametrize("name", _CERTAIN)
def test_decoding_starts_at_a_seek_point_of_the_index(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Falling back to the beginning would hide a seek that is always wrong."""
    path = write(tmp_path, _NAMED[name])
    index = read_index(path)
    assert index is not None
    assert len(index.stamps) == 100
    assert len(index.entries) == _CERTAIN[name]
    exact = dict(decoding._from_start(path, list(range(100)), 100))
    monkeypatch.setattr(decoding, "_from_start", _never)
    for indices in ([99], [60, 80], [3, 4, 55, 56, 57, 98], list(range(100))):
        for number, found in zip(indices, video.decode(path, indices), strict=True):
            assert np.array_equal(found, exact[number]), number


@pytest.mark.parametrize("name", _UNCERTAIN)
def test_a_video_whose_packets_do_not_identify_frames_has_no_index(tmp_path: Path, name: str) -> None:
    assert read_index(write(tmp_path, _NAMED[name])) is None, _UNCERTAIN[name]


def _another_order(numbers: list[int]) -> list[int]:
    return [*numbers[:70], numbers[71], numbers[70], *numbers[72:]]


def _one_more(numbers: list[int]) -> list[int]:
    return [*numbers[:50], numbers[50] - 1, *numbers[50:]]


@pytest.mark.parametrize("falsify", [_another_order, _one_more])
def test_a_wrong_index_does_not_give_a_wrong_frame(
    tmp_path: Path, falsify: Callable[[list[int]], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, _NAMED["h264-one-gop.mp4"])
    index = read_index(path)
    assert index is not None
    wrong = type(index)(falsify(index.stamps), index.entries, frozenset(), index.last)
    monkeypatch.setattr(decoding, "read_index", lambda _: wrong)
    assert number_of(video.decode(path, [85])[0], range(100)) == 85


def test_a_number_of_frames_that_differs_from_the_index_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, _NAMED["h264-b.mp4"])
    with pytest.raises(video.VideoError, match="has 100 frames, 120 are expected"):
        video.decode(path, [80], num_frames=120)
