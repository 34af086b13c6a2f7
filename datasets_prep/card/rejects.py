"""What was rejected: reasons with their counts, and a few keys of each to look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets_prep.card.pick import Smallest, lots
from pipeline.dataset.shards import REJECTS, ShardReader, SourceEntry

EXAMPLES = 3
_ROWS = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """One reason for which records of one source were rejected. ``read`` counts all records of the source."""

    source: str
    reason: str
    count: int
    read: int
    keys: tuple[str, ...]


def rejected(reader: ShardReader, entries: Sequence[SourceEntry], seed: int) -> list[Rejected]:
    """Every reason of every source, the most frequent first. Counts are the manifest's."""
    keys = _keys(reader, seed)
    return [
        Rejected(
            source=entry.name,
            reason=reason,
            count=count,
            read=entry.read,
            keys=tuple(keys.of(_group(entry.name, reason))),
        )
        for entry in entries
        for reason, count in sorted(entry.rejects.items(), key=lambda item: (-item[1], item[0]))
    ]


def _keys(reader: ShardReader, seed: int) -> Smallest[str]:
    chosen: Smallest[str] = Smallest(EXAMPLES)
    place = reader.location / REJECTS
    if not place.exists():
        return chosen
    with pq.ParquetFile(place.fetch(), pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=["source", "key", "reason"]):
            keys = batch["key"].to_pylist()
            groups = pc.binary_join_element_wise(batch["source"], batch["reason"], "\0")
            chosen.offer(groups, lots(seed, keys), keys.__getitem__)
    return chosen


def _group(source: str, reason: str) -> str:
    return f"{source}\0{reason}"
