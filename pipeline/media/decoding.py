"""The pictures of a video file by their numbers, exact for every selection.

Decoding from the beginning and counting is always right (``film.py``). If the packets of the film are certain
(``packet_index.py``), decoding begins at the last entry before a wanted picture, and pictures to which
nothing refers are skipped. Each decoded picture is then identified by its time stamp and must be the one
that is due; at the first one that is not, the rest is decoded from the beginning of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.files import VideoError, av, plain
from pipeline.media.film import all_pictures, decode_packet, open_film, packets
from pipeline.media.orientation import orientation
from pipeline.media.packet_index import Entry, PacketIndex
from pipeline.media.probing import read_index

_NEAR = 48  # pictures; for earlier ones decoding from the beginning takes no longer than reading all packets
_PACKETS_A_PICTURE = 100  # packets can be read in the time of decoding one picture of a small video
_WORTH = 4  # a seek costs as much as decoding so many pictures


class _UnexpectedError(Exception):
    """The decoder gave another picture than the one that is due."""


def decode_film(path: Path, indices: list[int], total: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """Each picture of ``indices`` (ascending, distinct) as RGB uint8 [H, W, 3].

    ``total``: their number as probed. Raises IndexError for a picture that the film does not
    have, VideoError for damage, and for a film that turns out to have another number of pictures.
    """
    if indices[0] < 0 or (total is not None and indices[-1] >= total):
        raise _outside(path, indices, total)
    index = None
    if indices[-1] >= max(_NEAR, (total or 0) // _PACKETS_A_PICTURE):
        index = read_index(path)
    if index is None:
        yield from _from_start(path, indices, total)
        return
    found = len(index.stamps)
    if total is not None and found != total:
        raise VideoError(f"{path}: has {found} frames, {total} are expected; it may be another file")
    if indices[-1] >= found:
        raise _outside(path, indices, found)
    done = -1
    try:
        for number, picture in _from_entries(path, indices, index):
            yield number, picture
            done = number
    except _UnexpectedError:
        yield from _from_start(path, [number for number in indices if number > done], total)


def _from_start(path: Path, indices: list[int], total: int | None) -> Iterator[tuple[int, np.ndarray]]:
    left, last, number = set(indices), indices[-1], 0
    with open_film(path) as (container, stream):
        for _, pictures in all_pictures(path, container, stream):
            for picture in pictures:
                if number in left:
                    yield number, _pixels(path, picture)
                number += 1
                if number > last:
                    return
    if total is None:
        raise _outside(path, indices, number)
    raise VideoError(
        f"{path}: only {number} of {total} frames decode; the file is damaged, or another one than was probed"
    )


def _from_entries(path: Path, indices: list[int], index: PacketIndex) -> Iterator[tuple[int, np.ndarray]]:
    with open_film(path, parse=False, strict=True) as (container, stream):
        size = stream.height, stream.width
        left, at = set(indices), 0
        numbers = {pts: number for number, pts in enumerate(index.stamps)}
        while at < len(indices):
            entry = index.entry_for(indices[at])
            for number, picture in _from_entry(path, container, stream, index, numbers, left, entry):
                if number > indices[at]:
                    raise _UnexpectedError
                if number == indices[at]:
                    if (picture.height, picture.width) != size:
                        raise _UnexpectedError
                    yield number, _pixels(path, picture)
                    at += 1
                    if at == len(indices) or index.entry_for(indices[at]).number > number + _WORTH:
                        break
            else:
                raise _UnexpectedError


def _from_entry(
    path: Path,
    container: Any,
    stream: Any,
    index: PacketIndex,
    numbers: dict[int, int],
    requested: set[int],
    entry: Entry,
) -> Iterator[tuple[int, Any]]:
    """Pictures from an entry on, with their numbers, without disposable ones that are not requested.

    Raises _UnexpectedError for a picture that is not the next one.
    """
    if entry.number:
        _seek(container, stream, entry)
    due = entry.number
    coming = packets(path, container, stream)
    for packet in dropwhile(lambda p: not p.size or p.pts != entry.pts, coming):
        if packet.pts in index.disposable and numbers[packet.pts] not in requested:
            continue
        for picture in _undamaged(path, packet):
            shown = numbers.get(picture.pts, -1)
            if 0 <= shown < entry.number:
                continue  # leads up to the entry, and may not be exact
            while due < shown and due not in requested and index.stamps[due] in index.disposable:
                due += 1
            if shown != due:
                raise _UnexpectedError
            yield shown, picture
            due += 1


def _undamaged(path: Path, packet: Any) -> list[Any]:
    """The pictures of a packet. How damage is concealed depends on earlier pictures, so it is an error."""
    try:
        pictures = decode_packet(path, packet, 0)
    except VideoError as error:
        raise _UnexpectedError from error
    if any(picture.is_corrupt for picture in pictures):
        raise _UnexpectedError
    return pictures


def _seek(container: Any, stream: Any, entry: Entry) -> None:
    """Seek to the packet of an entry, or to one before it.

    MP4 seeks by time of decoding, Matroska by time of showing.
    """
    when = entry.dts if container.format.name.startswith("mov") else entry.pts
    try:
        container.seek(min(when, entry.pts), stream=stream, backward=True)
    except av().FFmpegError as error:
        raise _UnexpectedError from error


def _pixels(path: Path, picture: Any) -> np.ndarray:
    try:
        return orientation(path, picture).apply(picture.to_ndarray(format="rgb24"))
    except (av().FFmpegError, ValueError) as error:
        if isinstance(error, VideoError):
            raise
        raise VideoError(f"{path}: a frame cannot be read as RGB ({plain(error)})") from error


def _outside(path: Path, indices: list[int], total: int | None) -> IndexError:
    return IndexError(f"{path}: frames {indices[0]}-{indices[-1]} of a video of {total} frames")
