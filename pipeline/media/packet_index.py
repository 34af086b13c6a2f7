"""When each packet of a film is shown, if that is certain without decoding.

Certain means: an MP4 or Matroska file, a codec whose packets are read here, every packet exactly one picture,
and each with a time stamp of its own. Anything odd (fields, edits that hide or repeat pictures, packed or
empty packets, changing parameter sets, references to pictures before the beginning) makes a film
uncertain, and all of it has to be decoded.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from pipeline.media.bitstreams.av1 import Av1Pictures
from pipeline.media.bitstreams.h264 import H264Pictures
from pipeline.media.bitstreams.hevc import HevcPictures
from pipeline.media.bitstreams.picture import PictureReader
from pipeline.media.bitstreams.vpx import Vp8Pictures, Vp9Pictures

_MP4, _MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
_READERS: dict[str, Callable[[bytes], PictureReader]] = {
    "h264": H264Pictures,
    "hevc": HevcPictures,
    "vp8": lambda _: Vp8Pictures(),
    "vp9": lambda _: Vp9Pictures(),
    "av1": lambda _: Av1Pictures(),
}


class Entry(NamedTuple):
    """A picture from which decoding may begin: its number, and the stamps of its packet in stream units."""

    number: int
    pts: int
    dts: int


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """The shown pictures of a film in the order in which they are shown.

    ``stamps``: their time stamps in units of the stream, ascending. ``entries``: ascending by number;
    pictures shown from an entry on do not depend on anything before it. ``disposable``: stamps of pictures
    to which no other one refers. ``last``: how long the last picture shows, 0 if the file does not give it.
    """

    stamps: list[int]
    entries: list[Entry]
    disposable: frozenset[int]
    last: int

    def entry_for(self, number: int) -> Entry:
        """The last entry from which a picture can be decoded."""
        return self.entries[bisect_right(self.entries, number, key=lambda entry: entry.number) - 1]


class IndexBuilder:
    """Builds the index packet by packet. ``certain`` becomes false at the first odd packet."""

    def __init__(self, container: Any, stream: Any) -> None:
        self.certain = container.format.name in (_MP4, _MATROSKA)
        # The demuxer may skip packets that an edit leaves out; then there are fewer than promised.
        self._promised = stream.frames if container.format.name == _MP4 else 0
        self._reader: PictureReader | None = None
        make = _READERS.get(stream.codec_context.codec.canonical_name if self.certain else "")
        try:
            self._reader = make(bytes(stream.codec_context.extradata or b"")) if make else None
        except (ValueError, IndexError):
            self._reader = None
        self.certain = self._reader is not None
        self._stamps: list[int] = []
        self._entries: list[tuple[int, int]] = []
        self._disposable: list[int] = []
        self._count, self._place, self._latest = 0, -1, (-math.inf, 0)
        self._reordered = False

    def add(self, packet: Any) -> None:
        """The next packet of the film; empty ones are not packets."""
        if self.certain:
            self.certain = self._take(packet)

    def _take(self, packet: Any) -> bool:
        assert self._reader is not None
        picture = self._reader.read(bytes(packet))
        pts, dts, place = packet.pts, packet.dts, packet.pos
        if picture is None or pts is None or packet.is_discard or packet.is_corrupt:
            return False
        if place is not None:
            if 0 <= place < self._place:
                return False
            self._place = place
        if packet.is_keyframe:  # only there can parameters change without breaking later pictures
            if packet.has_sidedata("new_extradata"):
                return False
        elif not self._count:
            return False
        if not self._count and not picture.entry:
            return False
        self._count += 1
        if not picture.shown:
            return True
        self._stamps.append(pts)
        self._reordered = self._reordered or picture.reordered
        if picture.entry:
            self._entries.append((pts, pts if dts is None else dts))
        elif picture.disposable:
            self._disposable.append(pts)
        if pts >= self._latest[0]:
            self._latest = pts, packet.duration or 0
        return True

    def finish(self) -> PacketIndex | None:
        """The index, None if anything was odd."""
        if not self.certain or not self._stamps or (self._promised and self._count != self._promised):
            return None
        stamps = sorted(self._stamps)
        if any(a == b for a, b in pairwise(stamps)):
            return None
        in_order = stamps == self._stamps
        if in_order and self._reordered:
            return None  # stamps of decoding, as AVI keeps them
        number = {pts: k for k, pts in enumerate(stamps)}
        entries = sorted(Entry(number[pts], pts, dts) for pts, dts in self._entries)
        if not entries or entries[0].number != 0:
            return None
        # If stamps may be those of decoding, the picture of a stamp is unknown until all are
        # decoded, so none is left out.
        disposable = frozenset() if in_order else frozenset(self._disposable)
        return PacketIndex(stamps, entries, disposable, self._latest[1])
