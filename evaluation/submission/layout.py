"""What a server expects: names in the archive, the size of a complete one, and where to upload it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The archive of one server. Every mask is a grey PNG of the frame's size, 255 inside and 0 elsewhere.

    ``path`` names the PNG of (video, expression, frame). ``videos`` and ``expressions`` are what the server
    expects. ``about`` says what is expected and how to get there, ``upload`` where the archive goes.
    """

    path: Callable[[str, str, str], str]
    videos: int
    expressions: int
    about: str
    upload: str

    def is_complete(self, videos: int, expressions: int) -> bool:
        """Whether an archive holds as much as the server expects."""
        return (videos, expressions) == (self.videos, self.expressions)
