"""Chunks of records that stay together: those of one video or object, which share their masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from datasets_prep.sources.json.json_file import Chunk, Limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Records that stay together: how many, how many bytes of annotation, and where to find them.

    ``place`` is JSON for the reader; it is all that a chunk stores about the group.
    """

    place: Any
    count: int
    size: int


def pack(groups: Iterable[Group], limits: Limits) -> Iterator[Chunk]:
    """Chunks of consecutive groups: as many as the limits allow, at least one."""
    first = count = size = 0
    places: list[Any] = []
    for group in groups:
        if count and (count + group.count > limits.records or size + group.size > limits.bytes):
            yield Chunk(first=first, count=count, detail=orjson.dumps(places))
            first, count, size, places = first + count, 0, 0, []
        places.append(group.place)
        count, size = count + group.count, size + group.size
    if count:
        yield Chunk(first=first, count=count, detail=orjson.dumps(places))


def places(chunk: Chunk) -> list[Any]:
    """The places of the groups that were packed into a chunk."""
    return orjson.loads(chunk.detail)
