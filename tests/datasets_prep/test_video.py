"""Probing and decoding, on clips written here and on real ones."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.media import video
from pipeline.media.frame_choice import frames_shown, sample_indices
from pipeline.records.sample import Sample, Task, TimeSpan, VideoRef
from tests.datasets_prep.clips import HEIGHT, WIDTH, picture, write_clip, write_folder


def test_sampling_rule_is_the_published_one(golden: Path) -> None:
    cases = json.loads((golden / "metrics" / "frame_sampling.json").read_text())
    assert len(cases) > 5
    for frames, indices in cases.items():
        assert sample_indices(int(frames), 32) == indices


def test_frames_sampled_from_a_part_are_within_it() -> None:
    assert sample_indices(100, 4, 50, 58) == [51, 53, 55, 57]
    assert sample_indices(100, 3, 7, 7) == [7, 7, 7]
    with pytest.raises(ValueError, match="cannot take"):
        sample_indices(10, 4, 5, 10)


def test_a_clip_shows_the_frames_of_its_time() -> None:
    ref = VideoRef(path="v.mp4", num_frames=20, duration_s=2.0)
    sample = Sample(key="k", dataset="d", task=Task.TEMPORAL, video=ref, turns=())

    def shown(start_s: float, end_s: float, **video: Any) -> set[int]:
        clip = TimeSpan(start_s=start_s, end_s=end_s, start_bin=0, end_bin=99)
        return set(frames_shown(replace(sample, video=replace(ref, **video), clip=clip), 100))

    assert shown(0.5, 1.0) == set(range(5, 10))
    assert shown(0.0, 2.0) == set(range(20)) == set(frames_shown(sample, 100))
    assert shown(1.01, 1.02) == {10}
    assert shown(-1.0, 3.0) == set(range(20)), "times outside the video add no frames"
    assert shown(0.5, 1.5, num_frames=2, frame_starts_s=(0.0, 1.5)) == {0}


def test_a_clip_is_probed_and_decoded_in_any_order(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a:b @.mp4", frames=20, fps=10)
    info = video.probe(clip)
    assert (info.num_frames, info.height, info.width, info.duration_source) == (20, HEIGHT, WIDTH, "stream")
    assert info.duration_s == pytest.approx(2.0)
    assert info.fps == pytest.approx(10)
    assert info.frame_starts_s == ()
    pixels = video.decode(clip, [19, 3, 3])
    assert pixels.shape == (3, HEIGHT, WIDTH, 3)
    for got, index in zip(pixels, (19, 3, 3), strict=True):
        assert abs(int(got.mean()) - int(picture(index).mean())) <= 3
    assert video.decode(clip, [0], size=(24, 24)).shape == (1, 24, 24, 3)
    with pytest.raises(IndexError):
        video.decode(clip, [20])


@pytest.mark.parametrize("late_s", [0, 2])
@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_the_start_of_a_video_stream_that_begins_after_its_sound_is_found(
    tmp_path: Path, name: str, late_s: int
) -> None:
    import av

    path = tmp_path / name
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=10, options={"bf": "0"})
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=16_000)
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index + 10 * late_s, Fraction(1, 10)
            heard = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            heard.sample_rate, heard.pts, heard.time_base = 16_000, index * 1024, Fraction(1, 16_000)
            for plane in heard.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(sound.encode(heard))
            container.mux(film.encode(frame))
        for track in (film, sound):
            container.mux(track.encode(None))
    # The first packet of sound, which primes the decoder, is 64 ms before 0; mpegts plays it.
    assert video.probe(path).start_s == pytest.approx(late_s, abs=0.07 if name.endswith("ts") else 0.001)


def test_the_start_of_a_late_video_stream_is_found_in_a_real_clip(cases: Path) -> None:
    assert video.probe(cases / "video" / "videolater.mp4").start_s == 2.0


@pytest.mark.parametrize("width", [8, 24, 48, 72])
def test_narrow_videos_decode(tmp_path: Path, width: int) -> None:
    """The decoder pads their rows, which decord cannot copy. Catches an intact video reported as damaged."""
    import av

    path = tmp_path / "narrow.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
        for index in range(12):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(picture(index, 64, width), format="rgb24"))
            )
        container.mux(stream.encode(None))
    found = video.decode(path, [0, 5, 11])
    assert found.shape == (3, 64, width, 3)
    for index, frame in zip((0, 5, 11), found, strict=True):
        assert abs(float(frame.mean()) - float(picture(index).mean())) < 3


def test_av1_is_decoded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=8, codec="libsvtav1")
    pixels = video.decode(clip, [7])
    assert abs(int(pixels.mean()) - int(picture(7).mean())) <= 6


@pytest.mark.parametrize("name", ["vfr.mkv", "vfr.mp4", "vfr.webm"])
def test_probing_gives_frame_starts_for_a_variable_rate(tmp_path: Path, name: str) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    clip = write_clip(tmp_path / name, frames=6, codec=codec, pts=[50, 60, 70, 150, 160, 250])
    info = video.probe(clip)
    assert info.num_frames == 6
    assert 2.0 <= info.duration_s <= 2.2  # six frames at the stream's nominal rate would last 0.6 s
    assert info.fps == pytest.approx(6 / info.duration_s)
    assert info.frame_starts_s == pytest.approx((0, 0.1, 0.2, 1.0, 1.1, 2.0), abs=0.001)


def test_a_folder_of_frames_is_probed_and_decoded_without_hidden_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v", frames=6)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "._00000.jpg").write_bytes(b"left by a Mac")
    info = video.probe(folder)
    assert (info.num_frames, info.fps, info.duration_source) == (6, 3.0, "frames/fps")
    assert info.frame_starts_s == ()
    some = video.decode(folder, [1], frames=("00000.jpg", "00004.jpg"))
    assert abs(int(some.mean()) - int(picture(4).mean())) <= 3


def test_a_folder_of_hidden_files_has_no_frames(tmp_path: Path) -> None:
    (tmp_path / "._00000.jpg").write_bytes(b"left by a Mac")
    with pytest.raises(video.VideoError, match="holds no jpg"):
        video.probe(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_corrupt_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(video.VideoError, match=r"bad\.mp4"):
        video.probe(path)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(video.VideoError):
        video.probe(tmp_path / "cut.mp4")


def test_a_frame_beyond_the_end_is_an_error_even_if_the_given_count_includes_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    count = video.probe(clip).num_frames
    with pytest.raises((video.VideoError, IndexError)):
        video.decode(clip, [count + 3], num_frames=count + 10)  # a count larger than the number of frames


def test_decoding_in_several_threads_gives_the_same_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    expected = video.decode(clip, [4, 9])
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: video.decode(clip, [4, 9]), range(16)):
            assert np.array_equal(got, expected)


def test_frames_are_counted_where_the_header_is_wrong(realdata: Path) -> None:
    path = realdata / "videorefer_demo_videos" / "2.mp4"
    assert video.probe(path).num_frames == 503  # its header says 522
    assert video.decode(path, [502], size=(36, 64)).shape == (1, 36, 64, 3)


def test_the_duration_is_that_of_the_video_stream(realdata: Path) -> None:
    path = realdata / "llava_st_demo" / "tvg" / "0F7LW.mp4"
    info = video.probe(path)
    assert info.duration_s == pytest.approx(30.631, abs=0.002)  # the sound ends at 30.65
    assert info.num_frames == 187
