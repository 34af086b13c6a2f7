"""Measure a video file: when each of its pictures shows, and how large it is.

Headers are not trusted: their frame count can be wrong, and their duration may be that of the sound track.
Packets are read if each one is known to be one picture; other files are decoded whole, once, when they
are probed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.media.containers import promised_bytes
from pipeline.media.files import VideoError, check_size
from pipeline.media.film import all_pictures, decode_alone, open_film, packets
from pipeline.media.orientation import AS_STORED, Orientation, orientation
from pipeline.media.packet_index import IndexBuilder, PacketIndex


@dataclass(slots=True)
class FilmMeasurement:
    """Start of each shown picture and end of the last one, in seconds; size and turn of the first one."""

    starts_s: list[float]
    end_s: float
    end_source: (
        str  # "stream", or "frames/fps" if the file lacks times of pictures or the end of the last one
    )
    height: int  # as stored, before ``orientation``
    width: int
    orientation: Orientation = AS_STORED
    zero_s: float = 0.0  # what a player calls 0, on the clock of ``starts_s``


def measure(path: Path) -> FilmMeasurement:
    """Read all packets of a film once, and decode its pictures if packets are not enough.

    Raises VideoError for a file that was cut off, has no picture, or whose pictures carry no time.
    """
    try:
        return _by_packets(path) or _by_pictures(path)
    except VideoError:
        _check_cut(path)  # a more useful error than that of the decoder
        raise


def read_index(path: Path) -> PacketIndex | None:
    """When each packet is shown; None if only decoding can tell."""
    with open_film(path, parse=False) as (container, stream):
        builder = IndexBuilder(container, stream)
        for packet in packets(path, container, stream) if builder.certain else ():
            if packet.size:
                builder.add(packet)
            if not builder.certain:
                break
        return builder.finish()


def _by_packets(path: Path) -> FilmMeasurement | None:
    with open_film(path, parse=False) as (container, stream):
        builder = IndexBuilder(container, stream)
        first, count, last = None, 0, None
        for packet in packets(path, container, stream) if builder.certain else ():
            if not count:  # an entry, which decodes without other packets
                first = next(iter(decode_alone(path, packet)), None)
            if packet.size:
                count, last = count + 1, packet
                builder.add(packet)
            if not builder.certain:
                return None
        if not builder.certain:
            return None
        _check_whole(path, stream, count, last)
        index = builder.finish()
        if index is None:
            return None
        if first is None:
            return None
        return _measurement(path, container, stream, index.stamps, index.last, first)


def _by_pictures(path: Path) -> FilmMeasurement:
    with open_film(path) as (container, stream):
        first, count, last_packet, last_shown = None, 0, None, 0
        stamps: list[int | None] = []
        decoding: list[int] = []  # stamps of packets, in the order in which they are decoded
        for packet, pictures in all_pictures(path, container, stream):
            if packet.size:
                count, last_packet = count + 1, packet
                when = packet.pts if packet.pts is not None else packet.dts
                if when is not None and not packet.is_discard:
                    decoding.append(when)
            for picture in pictures:
                first = picture if first is None else first
                stamps.append(picture.pts)
                last_shown = picture.duration or 0
        _check_whole(path, stream, count, last_packet)
        if first is None:
            raise VideoError(f"{path}: " + ("no frame decodes" if count else "holds no video frame"))
        times = [when for when in stamps if when is not None]
        if len(times) < len(stamps) or any(a > b for a, b in pairwise(times)):
            # The stamps are those of decoding, as in AVI: sorted, they are those of showing.
            times = sorted(decoding) if len(decoding) == len(stamps) else _at_even_times(path, stream, stamps)
        return _measurement(path, container, stream, times, last_shown, first)


def _at_even_times(path: Path, stream: Any, stamps: list[int | None]) -> list[int]:
    """Stamps at the header's rate, for pictures whose own stamps fall or are missing."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise VideoError(f"{path}: its frames carry no time")
    start = min((when for when in stamps if when is not None), default=0)
    return [start + round(k / rate / stream.time_base) for k in range(len(stamps))]


def _measurement(
    path: Path, container: Any, stream: Any, stamps: list[int], last: int, first: Any
) -> FilmMeasurement:
    unit = float(stream.time_base)
    starts_s = [when * unit for when in stamps]
    last_s, source = last * unit, "stream"
    if last_s <= 0:  # some containers do not give the length of a frame
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        last_s = 1 / rate if rate else (starts_s[-1] - starts_s[0]) / max(len(starts_s) - 1, 1)
        source = "frames/fps"
    if starts_s[-1] + last_s <= starts_s[0]:
        raise VideoError(f"{path}: its frames carry no time")
    check_size(path, first.width, first.height)
    return FilmMeasurement(
        starts_s=starts_s,
        end_s=starts_s[-1] + last_s,
        end_source=source,
        height=first.height,
        width=first.width,
        orientation=orientation(path, first),
        # Sound before 0 only primes its decoder and is not played.
        zero_s=max(container.start_time or 0, 0) / 1e6,
    )


def _check_cut(path: Path) -> None:
    """Raise VideoError if a file was cut off; nothing else is checked."""
    with open_film(path) as (container, stream):
        count, last = 0, None
        try:
            for packet in packets(path, container, stream):
                count, last = count + bool(packet.size), packet if packet.size else last
        except VideoError:
            pass
        _check_whole(path, stream, count, last)


def _check_whole(path: Path, stream: Any, count: int, last_packet: Any) -> None:
    """Raise VideoError for a file that was cut off: its annotations are about the whole video."""
    torn = last_packet is not None and last_packet.is_corrupt
    missing = not stream.frames or stream.frames > count  # no header confirms that all frames were read
    size, promised = path.stat().st_size, promised_bytes(path) if missing else 0
    if torn or promised > size:
        more = f", {size} of {promised} bytes are there" if promised > size else ""
        raise VideoError(f"{path}: is cut off{more}")
