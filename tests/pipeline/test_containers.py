"""A file that was cut off is told from a whole one, in every container that says how long it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.media import files, film, probing, video
from pipeline.media.containers import promised_bytes

FRAMES = 30


def written(path: Path, options: dict[str, str] | None = None, sound: bool = False) -> bytes:
    """A video of noise in the container that the suffix names."""
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
        if track is not None:  # all behind the pictures
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.sample_rate = 16_000
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            for at in range(60):
                frame.pts = at * 1024
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path.read_bytes()


FORMS: list[tuple[str, dict[str, str]]] = [
    ("a.mp4", {"movflags": "faststart"}),
    ("a.mov", {"movflags": "faststart"}),
    ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
    ("a.mkv", {}),
    ("a.webm", {}),
    ("a.avi", {}),
    ("a.flv", {}),
]


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_cut_anywhere_it_is_no_video(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = tmp_path / name
    whole = written(path, options)
    assert video.probe(path).num_frames == FRAMES
    assert promised_bytes(path) <= len(whole)
    told = 0
    for size in range(len(whole) // 8, len(whole) - 8, len(whole) // 40):
        path.write_bytes(whole[:size])
        try:
            found = video.probe(path).num_frames
        except video.VideoError:
            told += 1
            continue
        # Behind the last picture there is nothing that a sample could miss. What flv and a file of fragments
        # say of their length may be nothing; cut between two pictures they are only shorter.
        assert found == FRAMES or name in ("a.flv", "fragments.mp4"), f"{found} frames in {size} bytes"
    assert told > 15


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data + b"\0" * 1000,
        lambda data: data + b"<html>saved by a browser</html>",
        lambda data: data + (1 << 20).to_bytes(4, "big") + b"odd!" + b"x" * 100,
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_what_follows_a_whole_file_is_no_cut(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(damage(written(path)))
    assert video.probe(path).num_frames == FRAMES


def test_a_cut_in_the_sound_alone_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    whole = written(path, {"movflags": "faststart"}, sound=True)
    path.write_bytes(whole[:-20])
    assert promised_bytes(path) == len(whole)
    assert video.probe(path).num_frames == FRAMES


def test_a_stream_without_an_outer_form_promises_nothing(tmp_path: Path) -> None:
    written(tmp_path / "a.ts")
    assert promised_bytes(tmp_path / "a.ts") == 0
    for data in (b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"RIFF", b"\0\0\0\x04moov" * 9):
        (tmp_path / "odd").write_bytes(data)
        assert promised_bytes(tmp_path / "odd") == 0


def test_a_frame_of_an_absurd_size_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "a.mp4")
    for module in (files, film):
        monkeypatch.setattr(module, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(video.VideoError, match="a frame of 48x64 is more than any video has"):
        video.probe(tmp_path / "a.mp4")
    # A header may say something else than what is decoded.
    for module in (film, probing):
        monkeypatch.setattr(module, "check_size", lambda *_: None)
    with pytest.raises(video.VideoError, match="does not decode"):
        video.probe(tmp_path / "a.mp4")
