"""Damage to videos and folders of frames, and odd names of videos."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from datasets_prep.draft import Reason
from tests.datasets_prep.clips import write_clip
from tests.datasets_prep.damage.kinds import Kind, Place, Touches, dumps
from tests.datasets_prep.damage.records import record, sets

Put = Callable[[Place], object]
GONE, BAD = Reason.MEDIA_MISSING, Reason.MEDIA_UNREADABLE


def _video(make: Callable[[Path], object]) -> Put:
    """Put something else in place of the video."""

    def put(place: Place) -> None:
        video = place.video
        video.unlink()
        make(video)

    return put


def _bytes(change: Callable[[bytes], bytes]) -> Put:
    return lambda place: place.write(place.video, change(place.video.read_bytes()))


def _outside(place: Place) -> Path:
    """Move the video out of the media folder."""
    return Path(shutil.move(place.video, place.root / "outside.mp4"))


def _link_out(place: Place) -> None:
    video = place.video
    video.symlink_to(_outside(place))


def _folder_linked_out(place: Place) -> None:
    place.rename_video("folder/a.mp4")
    folder = place.video.parent
    shutil.move(folder, place.root / "outside")
    folder.symlink_to(place.root / "outside")


def _playlist(first: str, line: str, name: str) -> Put:
    """A playlist that refers to the video, which is outside the media folder."""

    def put(place: Place) -> None:
        place.rename_video(name)
        video = place.video
        away = _outside(place)
        place.write(video, first + line.format(away) + "\n")

    return put


def _playlist_beside(place: Place) -> None:
    """A playlist that refers to another file of the same folder."""
    video = place.video
    video.rename(video.with_name("other.mp4"))
    video.write_text("ffconcat version 1.0\nfile other.mp4\n")


def _only_sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        sound = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        sound.sample_rate = 16_000
        for plane in sound.planes:
            plane.update(bytes(plane.buffer_size))
        for at in range(20):
            sound.pts = at * 1024
            container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


def _bomb(path: Path) -> None:
    """A few hundred bytes whose header claims 16000 x 16000 pixels."""
    from PIL import Image

    pictures = [Image.new("P", (8, 8), n) for n in range(3)]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:])
    data = bytearray(path.read_bytes())
    data[6:10] = (16_000).to_bytes(2, "little") * 2
    path.write_bytes(data)


def _two_hours(path: Path) -> None:
    write_clip(path, frames=72, pts=[at * 10_000 for at in range(72)])


def _in_front(path: Path, codec: str) -> None:
    """A video of noise with its index before the media data."""
    import av

    noise = np.random.default_rng(1)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _cut(format_: str, packets: int, more: int) -> Callable[[Path], None]:
    """Write a video in a container format, cut ``more`` bytes after one of its packets."""

    def make(path: Path) -> None:
        import av

        whole = path.with_name(f"whole.{format_}")
        _in_front(path, "libx264" if format_ == "flv" else "mpeg4")
        with av.open(str(path)) as old, av.open(str(whole), "w", format=format_) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
        if format_ == "mp4":
            shutil.move(path, whole)
        with av.open(str(whole)) as container:
            ends = [p.pos + p.size for p in container.demux(video=0) if p.size]
        path.write_bytes(whole.read_bytes()[: ends[packets] + more])
        whole.unlink()

    return make


def video(name: str, put: Put, reason: Reason | None, detail: str = "", corpus: str = "talk") -> Kind:
    """Damage that touches every record of one video."""
    return Kind(name=name, corpus=corpus, put=put, reason=reason, says=detail, touches=Touches.VIDEO)


def _files() -> Iterator[Kind]:
    yield video("no video", _video(lambda v: None), GONE, "is in none of")
    yield video("an empty file as the video", _video(lambda v: v.touch()), BAD, "no readable video")
    yield video("an error page as the video", _video(lambda v: v.write_text("404 not found\n" * 99)), BAD)
    yield video("zeros as the video", _bytes(lambda b: bytes(len(b))), BAD, "no readable video")
    yield video("noise as the video", _bytes(lambda b: np.random.default_rng(0).bytes(len(b))), BAD)
    yield video("a folder named like a video", _video(lambda v: v.mkdir()), BAD, "holds no jpg")
    yield video("a named pipe as the video", _video(os.mkfifo), BAD, "not a file but a pipe")
    yield video("a link to itself as the video", _video(lambda v: v.symlink_to(v)), GONE)
    yield video("a link to nothing as the video", _video(lambda v: v.symlink_to("gone.mp4")), GONE)
    yield video("a link out of the media folder", _link_out, GONE, "outside of this folder")
    yield video("a folder linked out of the media folder", _folder_linked_out, GONE, "outside of this folder")
    yield video(
        "a playlist of a file outside the media folder",
        _playlist("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n", "{}", "a.m3u8"),
        BAD,
        "playlist",
    )
    yield video("a playlist of a file beside it", _playlist_beside, BAD, "playlist")
    yield video("sound without pictures", _video(_only_sound), BAD, "no video stream")
    yield video("a video cut off before its index", _bytes(lambda b: b[: len(b) // 2]), BAD)
    for form in ("mp4", "matroska", "avi", "flv"):
        yield video(f"{form} cut within a picture", _video(_cut(form, 20, 300)), BAD, "cut off")
    for form in ("mp4", "matroska", "avi"):
        yield video(f"{form} cut between pictures", _video(_cut(form, 20, 0)), BAD, "cut off")
    yield video("a whole video of another container", _video(_cut("matroska", 39, 10_000)), None)
    yield video(
        "a video of one frame", _video(lambda v: write_clip(v, frames=1)), Reason.TOO_FEW_FRAMES, "1 frames"
    )
    yield video("a still image as the video", _video(_still), Reason.TOO_FEW_FRAMES, "1 frames")
    yield video("a picture too large to hold", _video(_bomb), BAD, "16000x16000")
    yield video("a video of two hours", _video(_two_hours), None)
    yield Kind(
        name="a video without permission to read it",
        corpus="talk",
        put=lambda place: place.forbid(place.video),
        reason=BAD,
        touches=Touches.VIDEO,
        as_user=True,
    )


def _still(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48)).save(path, "JPEG")


def _names() -> Iterator[Kind]:
    """Odd but valid names: every file is found."""
    for name in (
        "Ωμέγα/Übung ß 水😀.mp4",
        " a  b .mp4",
        "x_0:01:09.633_0:01:14.333.mp4",
        "35034348999@N01_6060447507.mp4",
        "ends with a dot.",
        "no suffix",
        "100%25%20%s%d.mp4",
        "line\nbreak.mp4",
        "-rf *.mp4",
        "$(echo x);'\"`?#&.mp4",
        ".hidden.mp4",
        "a" * 240 + ".mp4",
        "%03d.mp4",
        "s3:.mp4",
    ):
        yield video(f"a video named {name[:30]!a}", lambda place, n=name: place.rename_video(n), None)
    yield record("a path with superfluous parts", None, _path(".//{}"))
    yield record("a path of another machine", None, _path("/home/someone/data/{}"))

    def decomposed(place: Place) -> None:
        place.rename_video("caf\u00e9.mp4")
        video = place.video
        video.rename(video.with_name(unicodedata.normalize("NFD", video.name)))

    yield video("a name in another Unicode form", decomposed, GONE, "Unicode form")


def _path(form: str) -> Callable[[dict[str, str]], object]:
    return lambda row: row.update(video=form.format(row["video"]))


def _paths() -> Iterator[Kind]:
    """Values that are not the path of a video below the media folder."""
    bad = Reason.MALFORMED
    for name, reason, path, detail in (
        ("no path", bad, None, "`video` is missing"),
        ("a number as the path", bad, 12, "`video` is 12"),
        ("an object as the path", bad, {"path": "a.mp4"}, "a path was expected"),
        ("an empty path", bad, "", "a path was expected"),
        ("a blank path", bad, "  ", "a path was expected"),
        ("the media folder as the path", bad, "./", "not a path below"),
        ("the root as the path", bad, "/", "not a path below"),
        ("a path that climbs out", bad, "../outside.mp4", "not a path below"),
        (
            "a path that climbs out in the middle",
            bad,
            "academic_source/../../outside.mp4",
            "not a path below",
        ),
        ("a path with backslashes", bad, "academic_source\\a.mp4", "not a path below"),
        ("a path with a NUL", bad, "a\0.mp4", "not a path below"),
        ("an absolute path", GONE, "/etc/passwd", "none of"),
        ("a URL", GONE, "https://example.org/a.mp4", "none of"),
        ("a place on S3", GONE, "s3://bucket/a.mp4", "none of"),
        ("a name of 300 letters", GONE, "a" * 300 + ".mp4", "none of"),
        ("a path of a million letters", bad, "a/" * 500_000 + "b.mp4", "too long for a path"),
        ("a folder of videos as the path", BAD, "academic_source", "holds no jpg"),
        ("an empty list of frames", bad, [], "empty list"),
        ("frames of several folders", bad, ["a/1.jpg", "b/1.jpg"], "2 folders"),
        ("frames outside", bad, ["../1.jpg", "../2.jpg"], "not a path below"),
        ("numbers as frames", bad, [1, 2], "paths"),
        (
            "frames below a path that is a file",
            BAD,
            ["academic_source/Charades/27ECF00002.mp4/1.jpg"],
            "folder of frames",
        ),
    ):
        yield record(name, reason, sets(video=path), detail)
    yield record(
        "a folder that climbs out", GONE, sets(video="nowhere.mp4", data_source="../.."), "leaves this"
    )
    yield record(
        "a folder of a million letters", bad, sets(data_source="a/" * 500_000), "too long for a path"
    )
    yield record("an absolute folder", GONE, sets(video="passwd", data_source="/etc"), "leaves this")


def _folders() -> Iterator[Kind]:
    """Damage to folders of frames."""

    def frame(make: Callable[[Place, Path], object], name: str = "00003.jpg") -> Put:
        return lambda place: make(place, place.video / name)

    def linked_out(place: Place, path: Path) -> None:
        path.symlink_to(shutil.move(path, place.root / "outside.jpg"))

    def instead(make: Callable[[Path], object]) -> Callable[[Place, Path], object]:
        return lambda place, path: (path.unlink(), make(path))

    def smaller(place: Place, path: Path) -> None:
        path.unlink()
        _still(path)

    def listed(place: Place) -> None:
        meta = place.load(place.annotations)
        next(iter(meta["videos"].values()))["frames"][3] = "../../../../etc/hostname"
        place.write(place.annotations, dumps(meta))

    for name, put, reason, detail in (
        ("no folder", lambda p: shutil.rmtree(p.video), GONE, "none of"),
        ("a file as the folder", _file_as_folder, BAD, "is a file where a folder"),
        ("one frame too few", frame(instead(lambda f: None)), GONE, "1 of 16 frames, the first is 00003"),
        ("an empty file as a frame", frame(instead(lambda f: f.touch())), BAD, "00003.jpg"),
        (
            "an empty file as the first frame",
            frame(instead(lambda f: f.touch()), "00000.jpg"),
            BAD,
            "00000.jpg",
        ),
        ("a frame cut in its header", frame(lambda p, f: p.write(f, f.read_bytes()[:99])), BAD, "00003.jpg"),
        ("a frame of another size", frame(smaller), BAD, "00003.jpg: is 48x64, 00000.jpg is 128x96"),
        ("a frame that is a folder", frame(instead(lambda f: f.mkdir())), BAD, "00003.jpg"),
        ("a frame that is a named pipe", frame(instead(os.mkfifo)), BAD, "00003.jpg"),
        ("a frame that links to itself", frame(instead(lambda f: f.symlink_to(f))), BAD, "00003.jpg"),
        ("a frame that links out of the folder", frame(linked_out), BAD, "outside the media folder"),
        ("a frame that climbs out", listed, GONE, "1 of 16 frames"),
    ):
        yield video(name, put, reason, detail, "segment")


def _file_as_folder(place: Place) -> None:
    folder = place.video
    shutil.rmtree(folder)
    folder.write_bytes(b"x")


def kinds() -> Iterator[Kind]:
    """All kinds of damage to media."""
    yield from (*_files(), *_names(), *_paths(), *_folders())
