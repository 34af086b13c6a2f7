"""A video that is opened again is the one that was prepared, or the file in its place is named."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.media.footage import VideoFootage, inspect
from pipeline.media.same_video import HEAD_BYTES, OtherVideoError, VerifyVideos
from pipeline.plan.runtime import StorageConfig
from pipeline.records.sample import VideoRef
from tests.datasets_prep.clips import write_clip, write_folder

HEAD, WHOLE, OFF = VerifyVideos.HEAD, VerifyVideos.WHOLE, VerifyVideos.OFF


def first(path: Path, ref: VideoRef, how: VerifyVideos) -> tuple[int, ...]:
    """The shape of the first frame."""
    return VideoFootage(path, ref, how).decode([0])[0].shape


def test_the_video_that_was_prepared_is_opened(tmp_path: Path) -> None:
    """Catches a check that refuses the very file, one without a digest (nobody probed it) among them."""
    clip, folder = write_clip(tmp_path / "a.mp4"), write_folder(tmp_path / "stills")
    names = tuple(sorted(p.name for p in folder.iterdir()))
    for how in VerifyVideos:
        assert first(clip, inspect(clip, "a.mp4"), how) == (48, 64, 3)
        assert first(folder, inspect(folder, "stills", names), how) == (48, 64, 3)
    assert first(clip, VideoRef(path="a.mp4", num_frames=20), WHOLE) == (48, 64, 3)


def test_another_size_is_reported_with_path_expectation_and_fix(tmp_path: Path) -> None:
    """Catches frames of another video, taken without a word from the place of the one that was prepared."""
    clip = write_clip(tmp_path / "a.mp4")
    ref = inspect(clip, "a.mp4")
    write_clip(clip, frames=25)
    for read in (lambda f: f.decode([0]), lambda f: list(f.stream([0]))):
        with pytest.raises(OtherVideoError) as caught:
            read(VideoFootage(clip, ref))
        assert caught.value.where == str(clip)
        assert f"{clip.stat().st_size:,} bytes instead of {ref.size_bytes:,}" in caught.value.problem
        assert "prepare the dataset again" in caught.value.fix
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as Ray does
    assert first(clip, ref, OFF) == (48, 64, 3)


def test_one_size_and_another_head_is_reported(tmp_path: Path) -> None:
    """Catches a check of sizes alone: a video of the same length in bytes."""
    clip = write_clip(tmp_path / "a.mp4")
    ref = inspect(clip, "a.mp4")
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    clip.write_bytes(data)
    with pytest.raises(OtherVideoError, match=f"its head .* instead of {ref.head_sha256[:12]}"):
        first(clip, ref, HEAD)


def test_a_change_behind_the_head_is_reported_where_the_whole_is_asked_for(tmp_path: Path) -> None:
    """Catches `whole` that looks at the head alone, and `head` that reads all of every video."""
    clip = write_clip(tmp_path / "a.mp4")
    clip.write_bytes(clip.read_bytes() + bytes(2 * HEAD_BYTES))  # FFmpeg reads past it
    ref = inspect(clip, "a.mp4")
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    clip.write_bytes(data)
    assert first(clip, ref, HEAD) == (48, 64, 3)
    with pytest.raises(OtherVideoError, match=f"its content .* instead of {ref.sha256[:12]}"):
        first(clip, ref, WHOLE)


def test_stills_are_compared_by_name_and_size(tmp_path: Path) -> None:
    """Catches folders that are not compared: a still of another size, and two of swapped content."""
    folder = write_folder(tmp_path / "stills")
    names = tuple(sorted(p.name for p in folder.iterdir()))
    ref = inspect(folder, "stills", names)
    assert ref.head_sha256 != inspect(folder, "stills", names[1:]).head_sha256
    content = [(folder / name).read_bytes() for name in names]
    (folder / names[0]).write_bytes(content[0] + b"x")
    (folder / names[1]).write_bytes(content[1] + b"x")
    with pytest.raises(OtherVideoError, match="bytes instead of"):
        first(folder, ref, HEAD)
    longer = replace(ref, size_bytes=ref.size_bytes + 2)
    with pytest.raises(OtherVideoError, match="names and sizes"):
        first(folder, longer, HEAD)


def test_a_file_is_compared_once_a_process(tmp_path: Path) -> None:
    """Catches a check for each frame that is asked for, which would cost a read of the disk each time."""
    clip = write_clip(tmp_path / "a.mp4")
    ref = inspect(clip, "a.mp4")
    assert first(clip, ref, WHOLE) == (48, 64, 3)
    clip.write_bytes(clip.read_bytes() + b"x")
    assert first(clip, ref, WHOLE) == (48, 64, 3)
    with pytest.raises(OtherVideoError):
        first(clip, ref, HEAD)  # that was not compared yet


def test_the_plan_says_how_closely(tmp_path: Path) -> None:
    """Catches a default that is off, and a value that is taken for another."""
    assert StorageConfig(root="x").verify_videos is HEAD
    assert StorageConfig(root="x", verify_videos="whole").verify_videos is WHOLE
