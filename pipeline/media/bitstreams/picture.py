"""What a packet holds, as its codec's own reader says."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Picture(NamedTuple):
    """The one picture of a packet.

    ``shown``: a player shows it; a hidden one is only for others to refer to. ``entry``: a decoder that
    begins with it gives this picture and all that are shown later as if it had decoded everything before.
    ``disposable``: no other picture refers to it. ``reordered``: it may be shown in another order than it
    is decoded, whatever its time stamp says.
    """

    shown: bool
    entry: bool
    disposable: bool
    reordered: bool = False


class PictureReader(Protocol):
    """Reads the packets of one stream in the order in which they are decoded."""

    def read(self, packet: bytes) -> Picture | None:
        """The picture of a packet; None for anything that is not certain to be exactly one picture."""
