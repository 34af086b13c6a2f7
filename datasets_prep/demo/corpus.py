"""What a format writer returns: media to render and documents to write, nothing written yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from datasets_prep.demo.encode import FrameFolder
from datasets_prep.demo.scene import Scene


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A record that a reader has to reject, or an odd one that it has to accept (``reject`` false)."""

    file: str
    key: str
    why: str
    reject: bool = True


@dataclass(kw_only=True, slots=True)
class Corpus:
    """One corpus under ``<root>/<name>``; every path is relative to that folder.

    ``records`` counts the annotation records (questions, expressions, captions) in the documents, broken ones
    included, as a reader would count what it reads.
    """

    name: str
    videos: list[tuple[Scene, str]] = field(default_factory=list)
    folders: list[tuple[Scene, FrameFolder]] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)  # path -> JSON value
    texts: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)  # annotation file -> records
    damage: list[Damage] = field(default_factory=list)

    def add_list(self, path: str, rows: list[dict[str, Any]]) -> None:
        """A JSON list whose items are the records."""
        self.documents[path] = rows
        self.records[path] = len(rows)


def turns(*texts: str) -> list[dict[str, str]]:
    """A conversation: human first, then alternating."""
    return [{"from": "gpt" if i % 2 else "human", "value": text} for i, text in enumerate(texts)]
