"""Rejected records and irregular samples: counts, and a few keys of each to look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets_prep.card.pick import Smallest, ranks
from pipeline.dataset.manifest import IRREGULARITIES, REJECTS, SourceEntry
from pipeline.dataset.reader import ShardReader

EXAMPLES = 3
_ROWS = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonRow:
    """Records of one source with one reason or irregularity; ``of`` is the number of all its records."""

    source: str
    what: str
    count: int
    of: int
    keys: tuple[str, ...]


def rejected(reader: ShardReader, entries: Sequence[SourceEntry], seed: int) -> list[ReasonRow]:
    """Every reason of every source, the most frequent first. Counts are the manifest's."""
    keys = _keys(reader, REJECTS, "reason", seed)
    return [row for entry in entries for row in _rows(entry, entry.rejects, entry.read, keys)]


def irregular(reader: ShardReader, entries: Sequence[SourceEntry], seed: int) -> list[ReasonRow]:
    """Every irregularity of every source's samples, the most frequent first. Counts are the manifest's."""
    keys = _keys(reader, IRREGULARITIES, "irregularity", seed)
    return [row for entry in entries for row in _rows(entry, entry.irregularities, entry.kept, keys)]


def _rows(entry: SourceEntry, counts: Mapping[str, int], of: int, keys: Smallest[str]) -> list[ReasonRow]:
    return [
        ReasonRow(
            source=entry.name, what=what, count=count, of=of, keys=tuple(keys.of(_group(entry.name, what)))
        )
        for what, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _keys(reader: ShardReader, table: str, column: str, seed: int) -> Smallest[str]:
    chosen: Smallest[str] = Smallest(EXAMPLES)
    place = reader.location / table
    if not place.exists():
        return chosen
    with pq.ParquetFile(place.fetch(), pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=["source", "key", column]):
            keys = batch["key"].to_pylist()
            groups = pc.binary_join_element_wise(batch["source"], batch[column], "\0")
            chosen.offer(groups, ranks(seed, keys), keys.__getitem__)
    return chosen


def _group(source: str, what: str) -> str:
    return f"{source}\0{what}"
