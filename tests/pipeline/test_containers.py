"""A truncated file is distinguished from a complete one, in every container that states its length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.media import files, film, probing, video
from pipeline.media.containers import promised_bytes

FRAMES = 30


def write_noise(path: Path, options: dict[str, str] | None = None, sound: bool = False) -> bytes:
    """Write a video of noise in the container of the suffix, and return its bytes."""
    import av

    noise = np.random.default_rng(3)
    codec = {".webm": "libvpx", ".flv": "libx264"}.get(path.suffix, "mpeg4")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("aac", rate=16_000) if sound else None
        for _ in range(FRAMES):
            picture = noise.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
        if track is not None:  # all after the frames
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.sample_rate = 16_000
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            for at in range(60):
                frame.pts = at * 1024
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path.read_bytes()


CONTAINERS: list[tuple[str, dict[str, str]]] = [
    ("a.mp4", {"movflags": "faststart"}),
    ("a.mov", {"movflags": "faststart"}),
    ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
    ("a.mkv", {}),
    ("a.webm", {}),
    ("a.avi", {}),
    ("a.flv", {}),
]


@pytest.mark.parametrize(("name", "options"), CONTAINERS)
def test_a_video_cut_off_anywhere_is_an_error_or_has_all_frames(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = tmp_path / name
    whole = write_noise(path, options)
    assert video.probe(path).num_frames == FRAMES
    assert promised_bytes(path) <= len(whole)
    rejected = 0
    for size in range(len(whole) // 8, len(whole) - 8, len(whole) // 40):
        path.write_bytes(whole[:size])
        try:
            found = video.probe(path).num_frames
        except video.VideoError:
            rejected += 1
            continue
        # A cut after the last frame loses nothing that a sample needs. An flv file and fragments may state no
        # length; cut between two frames they are only shorter.
        assert found == FRAMES or name in ("a.flv", "fragments.mp4"), f"{found} frames in {size} bytes"
    assert rejected > 15


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data + b"\0" * 1000,
        lambda data: data + b"<html>saved by a browser</html>",
        lambda data: data + (1 << 20).to_bytes(4, "big") + b"odd!" + b"x" * 100,
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_bytes_after_a_complete_file_are_ignored(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(damage(write_noise(path)))
    assert video.probe(path).num_frames == FRAMES


def test_a_cut_in_the_sound_only_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    whole = write_noise(path, {"movflags": "faststart"}, sound=True)
    path.write_bytes(whole[:-20])
    assert promised_bytes(path) == len(whole)
    assert video.probe(path).num_frames == FRAMES


def test_a_stream_without_a_container_states_no_length(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.ts")
    assert promised_bytes(tmp_path / "a.ts") == 0
    for data in (b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"RIFF", b"\0\0\0\x04moov" * 9):
        (tmp_path / "odd").write_bytes(data)
        assert promised_bytes(tmp_path / "odd") == 0


def test_a_frame_of_an_absurd_size_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_noise(tmp_path / "a.mp4")
    for module in (files, film):
        monkeypatch.setattr(module, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(video.VideoError, match="a frame of 48x64 is more than any video has"):
        video.probe(tmp_path / "a.mp4")
    # The header may state another size than that of the decoded frames.
    for module in (film, probing):
        monkeypatch.setattr(module, "check_size", lambda *_: None)
    with pytest.raises(video.VideoError, match="does not decode"):
        video.probe(tmp_path / "a.mp4")
