"""A video that is opened again must be the one that was prepared; otherwise the error names the file."""

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


def first_shape(path: Path, ref: VideoRef, how: VerifyVideos) -> tuple[int, ...]:
    """The shape of the first frame."""
    return VideoFootage(path, ref, how).decode([0])[0].shape


def test_the_prepared_video_is_opened_at_every_level_of_checking(tmp_path: Path) -> None:
    """Catches a check that refuses the same file, or a reference without a digest."""
    clip, folder = write_clip(tmp_path / "a.mp4"), write_folder(tmp_path / "stills")
    names = tuple(sorted(p.name for p in folder.iterdir()))
    for how in VerifyVideos:
        assert first_shape(clip, inspect(clip, "a.mp4"), how) == (48, 64, 3)
        assert first_shape(folder, inspect(folder, "stills", names), how) == (48, 64, 3)
    assert first_shape(clip, VideoRef(path="a.mp4", num_frames=20), WHOLE) == (48, 64, 3)


def test_a_video_of_another_size_is_reported_with_path_expectation_and_fix(tmp_path: Path) -> None:
    """Catches frames that are silently read from another video at the same path."""
    clip = write_clip(tmp_path / "a.mp4")
    ref = inspect(clip, "a.mp4")
    write_clip(clip, frames=25)
    for read in (lambda f: f.decode([0]), lambda f: list(f.stream([0]))):
        with pytest.raises(OtherVideoError) as caught:
            read(VideoFootage(clip, ref))
        assert caught.value.where == str(clip)
        assert f"{clip.stat().st_size:,} bytes instead of {ref.size_bytes:,}" in caught.value.problem
        assert "prepare the dataset again" in caught.value.fix
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as Ray pickles errors
    assert first_shape(clip, ref, OFF) == (48, 64, 3)


def test_a_video_of_the_same_size_with_another_head_is_reported(tmp_path: Path) -> None:
    """Catches a check that compares only sizes."""
    clip = write_clip(tmp_path / "a.mp4")
    ref = inspect(clip, "a.mp4")
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    clip.write_bytes(data)
    with pytest.raises(OtherVideoError, match=f"its head .* instead of {ref.head_sha256[:12]}"):
        first_shape(clip, ref, HEAD)


def test_a_change_after_the_head_is_found_only_by_checking_the_whole_file(tmp_path: Path) -> None:
    """Catches `whole` that checks only the head, and `head` that reads every video completely."""
    clip = write_clip(tmp_path / "a.mp4")
    clip.write_bytes(clip.read_bytes() + bytes(2 * HEAD_BYTES))  # FFmpeg reads past it
    ref = inspect(clip, "a.mp4")
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    clip.write_bytes(data)
    assert first_shape(clip, ref, HEAD) == (48, 64, 3)
    with pytest.raises(OtherVideoError, match=f"its content .* instead of {ref.sha256[:12]}"):
        first_shape(clip, ref, WHOLE)


def test_folders_of_stills_are_compared_by_name_and_size(tmp_path: Path) -> None:
    """Catches folders that are not compared: stills of another size, and other sizes with the same sum."""
    folder = write_folder(tmp_path / "stills")
    names = tuple(sorted(p.name for p in folder.iterdir()))
    ref = inspect(folder, "stills", names)
    assert ref.head_sha256 != inspect(folder, "stills", names[1:]).head_sha256
    content = [(folder / name).read_bytes() for name in names]
    (folder / names[0]).write_bytes(content[0] + b"x")
    (folder / names[1]).write_bytes(content[1] + b"x")
    with pytest.raises(OtherVideoError, match="bytes instead of"):
        first_shape(folder, ref, HEAD)
    longer = replace(ref, size_bytes=ref.size_bytes + 2)
    with pytest.raises(OtherVideoError, match="names and sizes"):
        first_shape(folder, longer, HEAD)


def test_a_file_is_compared_once_per_process_and_level(tmp_path: Path) -> None:
    """Catches a check for each requested frame, which would read the disk each time."""
    clip = write_clip(tmp_path / "a.mp4")
    ref = inspect(clip, "a.mp4")
    assert first_shape(clip, ref, WHOLE) == (48, 64, 3)
    clip.write_bytes(clip.read_bytes() + b"x")
    assert first_shape(clip, ref, WHOLE) == (48, 64, 3)
    with pytest.raises(OtherVideoError):
        first_shape(clip, ref, HEAD)  # this level has not been checked yet


def test_the_plan_sets_the_level_of_checking(tmp_path: Path) -> None:
    """Catches a wrong default, and a value that is read as another."""
    assert StorageConfig(root="x").verify_videos is HEAD
    assert StorageConfig(root="x", verify_videos="whole").verify_videos is WHOLE
