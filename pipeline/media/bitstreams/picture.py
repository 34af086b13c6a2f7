"""The picture in a packet, as the reader of its codec describes it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Picture(NamedTuple):
    """The one picture of a packet.

    ``shown``: a player shows it; a hidden one is only a reference for others. ``entry``: a decoder that
    begins with it gives this picture and all later ones as if it had decoded everything before.
    ``disposable``: no other picture refers to it. ``reordered``: its order of showing may differ from its
    order of decoding, whatever its time stamp is.
    """

    shown: bool
    entry: bool
    disposable: bool
    reordered: bool = False


class PictureReader(Protocol):
    """Reads the packets of one stream in the order in which they are decoded."""

    def read(self, packet: bytes) -> Picture | None:
        """The picture of a packet; None for anything that is not certain to be exactly one picture."""
