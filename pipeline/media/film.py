"""Open the film of a file and decode it from its beginning: which pictures it shows, in which order.

The definition for everything else: picture k is the k-th that FFmpeg's decoder gives for the
film's track, counted from 0. Edit lists are applied, hidden frames are not pictures, and a picture has the
size and orientation that a player gives it. A picture that is too damaged to decode keeps its number if
packets show it (``packet_index.py``); it is an error, and so is every later one that refers to it.
Files whose packets do not show it are rejected. One thread decodes: how several threads conceal damage
depends on their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.media.files import MOST_PIXELS, VideoError, av, check_size, open_video, plain
from pipeline.media.tracks import film_track

_NO_OUTER_FORM = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "flv"})


@contextmanager
def open_film(path: Path, *, parse: bool = True, strict: bool = False) -> Iterator[tuple[Any, Any]]:
    """Container and film track; the decoder runs in one thread and refuses pictures of absurd size.

    ``parse`` as in ``open_video``. ``strict``: damage is an error and is not concealed.
    Raises VideoError for a file without a film.
    """
    with open_video(path, parse=parse) as container:
        stream = container.streams.video[film_track(path, container)]
        check_size(path, stream.width, stream.height)
        options = {"max_pixels": str(MOST_PIXELS)}  # whatever the header says
        stream.codec_context.options = options | ({"err_detect": "explode"} if strict else {})
        stream.thread_count = 1
        yield container, stream


def packets(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """All packets of a stream, and at the end an empty one that flushes the decoder.

    Empty packets in between, with which AVI repeats a picture, show nothing and are left out: the decoder
    would take the first of them for the end.
    """
    try:
        for packet in container.demux(stream):
            if packet.size or packet.dts is None:
                yield packet
    except av().FFmpegError as error:
        raise VideoError(f"{path}: packets are damaged ({plain(error)})") from error


def decode_packet(path: Path, packet: Any, number: int) -> list[Any]:
    """The pictures that the decoder gives for a packet, near picture ``number``. Raises VideoError."""
    try:
        return list(packet.decode())
    except av().FFmpegError as error:
        what = (
            f"does not decode after frame {number - 1}" if number > 0 else "the first frame does not decode"
        )
        raise VideoError(f"{path}: {what} ({plain(error)})") from error


def decode_alone(path: Path, packet: Any) -> list[Any]:
    """The pictures of the first packet, without later packets. The decoder cannot be used afterwards."""
    found = decode_packet(path, packet, 0)
    try:
        return found or list(packet.stream.decode(None))
    except av().FFmpegError as error:
        raise VideoError(f"{path}: the first frame does not decode ({plain(error)})") from error


def all_pictures(path: Path, container: Any, stream: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Each packet with the pictures that the decoder gives for it, from the beginning: the definition.

    A broadcast may begin anywhere: packets before its first decodable picture show nothing.
    Raises VideoError for damage, and for a film that changes its size.
    """
    shown, size = 0, None
    lenient = container.format.name in _NO_OUTER_FORM
    for packet in packets(path, container, stream):
        try:
            pictures = decode_packet(path, packet, shown)
        except VideoError:
            if shown or not lenient:
                raise
            pictures = []
        for picture in pictures:
            size = size or (picture.height, picture.width)
            if (picture.height, picture.width) != size:
                raise VideoError(
                    f"{path}: frame {shown} is {picture.height}x{picture.width}, "
                    f"others are {size[0]}x{size[1]} (height x width)"
                )
            shown += 1
        yield packet, pictures
