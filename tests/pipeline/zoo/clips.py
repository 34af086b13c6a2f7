"""The zoo: codec x container x GOP x B-frames x rate x orientation x start x edits x tracks."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.pipeline.zoo.encode import FRAMES, Clip, ffmpeg, through
from tests.pipeline.zoo.pictures import calm_picture, picture

_B = "bframes=3:keyint=25:scenecut=0"
_NO_B = "bframes=0:keyint=25:scenecut=0"
_COPY = ("-map", "0", "-c", "copy")
_NTSC = Fraction(30000, 1001)
_UNEVEN = [100 * k + 40 * (k % 3) + 900 * (k > 60) for k in range(FRAMES)]


def _without_beginning(path: Path) -> None:
    """Remove the first third of the packets of a broadcast."""
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 3 // 188 * 188 :])


def _twice(path: Path) -> None:
    """Two recordings one after the other: the clock starts again."""
    path.write_bytes(path.read_bytes() * 2)


def _with_sound_from_0(path: Path) -> None:
    """The video starts two seconds after the sound, which is also the first track in the file."""
    sound = ("-f", "lavfi", "-i", "sine=duration=6")
    old = path.rename(path.with_name(f"old{path.suffix}"))
    late = ("-itsoffset", "2", "-i", str(old))
    ffmpeg(*sound, *late, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "aac", str(path))


def _with_a_cover(*marks: str, first: bool = True) -> Callable[[Path], None]:
    from PIL import Image

    def change(path: Path) -> None:
        cover = path.with_name("cover.png")
        Image.fromarray(np.full((240, 320, 3), 90, np.uint8)).save(cover)
        old = path.rename(path.with_name(f"old{path.suffix}"))
        order = ("-map", "1", "-map", "0") if first else ("-map", "0", "-map", "1")
        codec = ("-c:v:0", "mjpeg", "-c:v:1", "copy") if first else ("-c:v:0", "copy", "-c:v:1", "mjpeg")
        ffmpeg("-i", str(old), "-i", str(cover), *order, *codec, "-pix_fmt:v", "yuvj420p", *marks, str(path))

    return change


def _with_a_preview(path: Path) -> None:
    """A track of the first ten frames at twice the size comes first and is the default."""
    old = path.rename(path.with_name(f"old{path.suffix}"))
    preview = ("-t", "1", "-i", str(old), "-i", str(old), "-map", "0:v", "-map", "1:v")
    codecs = ("-c:v:0", "libx264", "-s:v:0", "192x128", "-c:v:1", "copy")
    ffmpeg(*preview, *codecs, "-disposition:v:0", "default", "-disposition:v:1", "0", str(path))


def _in_two_passes(codec: str) -> Callable[[Path], None]:
    """Encode as libvpx needs to write hidden frames: it analyses the whole video first."""

    def change(path: Path) -> None:
        old = path.rename(path.with_name(f"old{path.suffix}"))
        log = ("-passlogfile", str(path.with_name("passes")))
        how = ("-c:v", codec, "-b:v", "150k", "-auto-alt-ref", "1", "-lag-in-frames", "25")
        ffmpeg("-i", str(old), *how, "-pass", "1", *log, "-f", "null", "-")
        ffmpeg("-i", str(old), *how, "-pass", "2", *log, str(path))

    return change


def _in_avi_order(path: Path) -> None:
    """Decoding instead of presentation time stamps for B-frames, as after conversion from AVI."""
    ffmpeg("-i", str(path), *_COPY, "-bsf:v", "setts=pts=DTS", str(path.with_suffix(".new.mp4")))
    path.with_suffix(".new.mp4").rename(path)


def _damaged(step: int, value: int) -> Callable[[Path], None]:
    """Change every ``step``-th byte in the second quarter of the file."""

    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        for place in range(len(data) // 4, len(data) // 2, step):
            data[place] ^= value
        path.write_bytes(data)

    return change


def _h264() -> list[Clip]:
    clips = [
        Clip(name=f"h264-{kind}.{suffix}", params=params, quick=(kind, suffix) in {("b", "avi"), ("b", "ts")})
        for suffix in ("mp4", "mov", "mkv", "avi", "ts", "m2ts", "flv")
        for kind, params in (("b", _B), ("p", _NO_B))
    ]
    gops = {
        "open": f"{_B}:open-gop=1",
        "refresh": "intra-refresh=1:keyint=20:bframes=2",
        "intra": "keyint=1",
        "one-gop": "keyint=infinite:bframes=3",
        "pyramid": "bframes=8:b-pyramid=normal:b-adapt=0:keyint=50:scenecut=0",
        "strict-pyramid": "bframes=4:b-pyramid=strict:b-adapt=0:keyint=30:scenecut=0",
        "refs": "ref=8:bframes=5:keyint=25:weightp=2",
        "slices": f"{_B}:slices=4",
        "mbaff": f"{_B}:tff=1",
        "fake-interlaced": f"{_B}:fake-interlaced=1",
        "repeated-headers": f"{_B}:repeat-headers=1",
    }
    clips += [
        Clip(
            name=f"h264-{kind}.{suffix}",
            params=params,
            quick=(kind, suffix) in {("open", "mp4"), ("refresh", "mkv")},
        )
        for kind, params in gops.items()
        for suffix in ("mp4", "mkv")
    ]
    return [
        *clips,
        Clip(name="h264-10bit.mp4", pix_fmt="yuv420p10le", params=_B),
        Clip(name="h264-444.mp4", pix_fmt="yuv444p", params=_B),
        Clip(name="h264-fragments.mp4", params=_B, muxing={"movflags": "frag_keyframe+empty_moov"}),
        Clip(name="h264-no-edit-list.mp4", params=_B, muxing={"use_editlist": "0"}),
        Clip(name="h264-stamps-of-decoding.mp4", params=_B, finish=_in_avi_order),
        *(
            Clip(
                name=f"h264-damaged-{step}-{value}.{suffix}",
                params=_B,
                finish=_damaged(step, value),
                rejected="does not decode|frames decode|packets are damaged|is cut off",
            )
            for step, value in ((1, 0xFF), (97, 0x10), (1000, 0x01))
            for suffix in ("mp4", "mkv", "ts")
        ),
    ]


def _other_codecs() -> list[Clip]:
    hevc = {"open": "keyint=25:scenecut=0", "closed": "keyint=25:no-open-gop=1", "p": "keyint=25:bframes=0"}
    hevc["layers"] = "keyint=25:temporal-layers=1"
    quiet = ":log-level=none:pools=1"
    return [
        *(
            Clip(
                name=f"hevc-{kind}.{suffix}",
                codec="libx265",
                params=params + quiet,
                quick=kind + suffix == "openmp4",
            )
            for kind, params in hevc.items()
            for suffix in ("mp4", "mkv", "ts")
        ),
        *(
            Clip(
                name=f"mpeg4-{bf}.{suffix}",
                codec="mpeg4",
                options={"bf": bf, "g": "12"},
                quick=bf + suffix == "2avi",
            )
            for bf in ("0", "2")
            for suffix in ("avi", "mp4", "mkv", "mov")
        ),
        *(
            Clip(
                name=f"{codec}.{suffix}",
                codec=codec,
                options={"bf": "2", "g": "12"},
                rate=Fraction(25),
                quick=suffix == "mpg" and codec == "mpeg2video",
            )
            for codec in ("mpeg2video", "mpeg1video")
            for suffix in ("mpg", "ts", "mkv", "avi")
        ),
        *(
            Clip(
                name=f"{kind}{'-hidden' * hidden}.{suffix}",
                codec=codec,
                options={"deadline": "realtime", "cpu-used": "5", "b": "400k", "g": "40"},
                draw=calm_picture if hidden else picture,
                finish=_in_two_passes(codec) if hidden else None,
                quick=(kind, suffix) == ("vp8", "webm") and hidden,
            )
            for kind, codec, suffixes in (
                ("vp8", "libvpx", ("webm", "mkv")),
                ("vp9", "libvpx-vp9", ("webm", "mkv", "mp4")),
            )
            for suffix in suffixes
            for hidden in (False, True)
        ),
        *(
            Clip(name=f"av1.{s}", codec="libsvtav1", options={"preset": "10", "g": "30", "crf": "20"})
            for s in ("mp4", "mkv", "webm")
        ),
        *(Clip(name=f"mjpeg.{s}", codec="mjpeg", pix_fmt="yuvj420p") for s in ("avi", "mov", "mkv")),
        Clip(name="prores.mov", codec="prores_ks", pix_fmt="yuv422p10le"),
        *(Clip(name=f"ffv1.{s}", codec="ffv1", options={"g": "10"}) for s in ("mkv", "avi")),
        Clip(name="huffyuv.avi", codec="huffyuv", pix_fmt="yuv422p"),
        Clip(name="png.mov", codec="png", pix_fmt="rgb24"),
        Clip(name="moving.gif", codec="gif", pix_fmt="rgb8"),
        Clip(name="wmv2.wmv", codec="wmv2", options={"b": "600k"}),
        Clip(name="msmpeg4.avi", codec="msmpeg4", options={"b": "600k"}),
        Clip(name="flv1.flv", codec="flv", options={"b": "600k"}),
        Clip(name="h263.3gp", codec="h263", size=(96, 128), options={"b": "600k"}),
    ]


def _times() -> list[Clip]:
    return [
        *(
            Clip(name=f"uneven.{suffix}", codec=codec, when=_UNEVEN, quick=suffix == "mp4")
            for suffix, codec in (
                ("mp4", "libx264"),
                ("mkv", "libx264"),
                ("webm", "libvpx"),
                ("ts", "libx264"),
            )
        ),
        *(Clip(name=f"ntsc.{suffix}", params=_B, rate=_NTSC) for suffix in ("mp4", "mkv", "ts", "avi")),
        *(
            Clip(name=f"late.{suffix}", params=_B, finish=_with_sound_from_0, quick=suffix == "mp4")
            for suffix in ("mp4", "mkv", "ts")
        ),
        # Copied from within a group of pictures: the edit list hides the earlier frames of the group.
        *(
            Clip(
                name=f"trimmed-{kind}.mp4",
                params=params,
                finish=through(*_COPY, before=("-ss", "3.4")),
                quick=kind == "b",
            )
            for kind, params in (("b", _B), ("p", _NO_B), ("open", f"{_B}:open-gop=1"))
        ),
        Clip(name="trimmed-end.mp4", params=_B, finish=through(*_COPY, "-t", "7.05")),
        Clip(
            name="trimmed-mpeg4.mp4",
            codec="mpeg4",
            options={"bf": "2"},
            finish=through(*_COPY, before=("-ss", "3.4")),
        ),
        Clip(name="trimmed.mkv", params=f"{_B}:open-gop=1", finish=through(*_COPY, before=("-ss", "3.4"))),
        *(
            Clip(
                name=f"tuned-in-{kind}.ts",
                codec=codec,
                params=params,
                finish=_without_beginning,
                quick=kind == "h264",
            )
            for kind, codec, params in (
                ("h264", "libx264", _B),
                ("open", "libx264", f"{_B}:open-gop=1"),
                ("hevc", "libx265", "keyint=25:log-level=none:pools=1"),
                ("mpeg2", "mpeg2video", ""),
            )
        ),
        Clip(name="two-recordings.ts", params=_B, finish=_twice),
    ]


def _orientations() -> list[Clip]:
    def turned(*how: str) -> Callable[[Path], None]:
        return through(*_COPY, before=how)

    return [
        *(
            Clip(
                name=f"turned-{angle}.{suffix}",
                params=_B,
                finish=turned("-display_rotation", angle),
                quick=angle + suffix == "90mkv",
            )
            for angle in ("90", "180", "270")
            for suffix in ("mp4", "mkv", "mov")
        ),
        *(
            Clip(name=f"{'-'.join(h.strip('-') for h in how)}.{suffix}", params=_B, finish=turned(*how))
            for how in (
                ("-display_hflip",),
                ("-display_vflip",),
                ("-display_rotation", "90", "-display_hflip"),
                ("-display_rotation", "270", "-display_hflip"),
                ("-display_rotation", "180", "-display_hflip"),
            )
            for suffix in ("mp4", "mov")
        ),
        *(
            Clip(
                name=f"turned-{angle}.mp4",
                params=_B,
                finish=turned("-display_rotation", angle),
                rejected="is to be shown turned by",
            )
            for angle in ("45", "89", "200")
        ),
    ]


def _tracks() -> list[Clip]:
    return [
        Clip(name="cover-first.mkv", params=_B, finish=_with_a_cover(), track=1),
        Clip(
            name="default-cover-first.mkv",
            params=_B,
            finish=_with_a_cover("-disposition:v:0", "default", "-disposition:v:1", "0"),
            track=1,
        ),
        Clip(name="cover-first.mp4", params=_B, finish=_with_a_cover(), track=1),
        Clip(
            name="attached-cover.mp4",
            params=_B,
            finish=_with_a_cover("-disposition:v:1", "attached_pic", first=False),
            track=0,
        ),
        Clip(name="preview-first.mkv", params=_B, finish=_with_a_preview, track=1),
        Clip(name="preview-first.mp4", params=_B, finish=_with_a_preview, track=1),
        Clip(name="preview-first.ts", params=_B, finish=_with_a_preview, track=1),
    ]


CLIPS = [*_h264(), *_other_codecs(), *_times(), *_orientations(), *_tracks()]
