"""Which video track of a file is the film: not a cover, a preview or another angle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.media.files import VideoError, open_video

_COVERS = frozenset({"attached_pic", "still_image", "timed_thumbnails"})


def film_track(path: Path, container: Any) -> int:
    """The index of the film in ``container.streams.video``: the track that a player shows.

    Covers, tracks without a decoder and tracks with less than half the pictures of another one are not
    the film. Of the others: the one marked as default, then the one of more pixels, then of more pictures,
    then the first.

    Raises VideoError if there is none. Packets are read only where several tracks could be the film.
    """
    streams = container.streams.video
    able = [n for n, s in enumerate(streams) if s.codec_context is not None and not _is_cover(s)]
    if not able:
        raise VideoError(f"{path}: holds no video stream" + (" but a cover" if len(streams) else ""))
    if len(able) == 1:
        return able[0]
    counts = _count_packets(path)
    most = max(counts[n] for n in able)
    films = [n for n in able if 2 * counts[n] >= most]

    def rank(number: int) -> tuple[bool, int, int, int]:
        stream = streams[number]
        marked = "default" in _marks(stream)
        return marked, stream.codec_context.width * stream.codec_context.height, counts[number], -number

    return max(films, key=rank)


def _is_cover(stream: Any) -> bool:
    return not _COVERS.isdisjoint(_marks(stream))


def _marks(stream: Any) -> set[str]:
    return {mark.name for mark in stream.disposition if mark.name}


def _count_packets(path: Path) -> list[int]:
    with open_video(path) as container:
        counts = [0] * len(container.streams.video)
        numbers = {stream.index: n for n, stream in enumerate(container.streams.video)}
        for packet in container.demux(container.streams.video):
            counts[numbers[packet.stream_index]] += bool(packet.size)
    return counts
