"""Rejected records and irregular samples of a dataset: counts and a few examples, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from pipeline.dataset.manifest import IRREGULARITIES, REJECTS
from pipeline.storage.location import Location

EXAMPLES = 3
_ROWS = 8192
_WIDTH = 160  # characters per line in a terminal; the Parquet table has the whole text


@dataclass(kw_only=True)
class RecordGroup:
    """The records of one source with the same reason or irregularity; (key, detail) of the first of them."""

    source: str
    reason: str
    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


def rejected(dataset: Location) -> list[RecordGroup]:
    """Every reason of every source, sources in the order of the plan, the most frequent reason first.

    Read in batches, so memory does not grow with the number of rejects. Empty if there is no such table.
    """
    return _groups(dataset / REJECTS, "reason")


def irregular(dataset: Location) -> list[RecordGroup]:
    """Every irregularity of every source, in the same order."""
    return _groups(dataset / IRREGULARITIES, "irregularity")


def rejects_text(dataset: Location) -> str:
    """What was rejected and what is irregular, for a terminal; empty if nothing is."""
    return "\n".join(
        [
            *_lines(dataset / REJECTS, rejected(dataset), ("record was rejected", "records were rejected")),
            *_lines(dataset / IRREGULARITIES, irregular(dataset), ("irregularity", "irregularities")),
        ]
    )


def _groups(place: Location, column: str) -> list[RecordGroup]:
    if not place.exists():
        return []
    groups: dict[tuple[str, str], RecordGroup] = {}
    with pq.ParquetFile(place.fetch(), pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=["source", "key", column, "detail"]):
            for row in batch.to_pylist():
                source, reason = row["source"], row[column]
                group = groups.setdefault((source, reason), RecordGroup(source=source, reason=reason))
                group.count += 1
                if len(group.examples) < EXAMPLES:
                    group.examples.append((row["key"], row["detail"]))
    order = {source: at for at, source in enumerate(dict.fromkeys(source for source, _ in groups))}
    return sorted(groups.values(), key=lambda g: (order[g.source], -g.count, g.reason))


def _lines(place: Location, groups: Sequence[RecordGroup], words: tuple[str, str]) -> Iterator[str]:
    if not groups:
        return
    total = sum(group.count for group in groups)
    yield f"{total:,} {words[total > 1]}; {place.uri} has all of them"
    for group in groups:
        yield f"  {group.source}: {group.count:,} x {group.reason}"
        for key, detail in group.examples:
            yield example_line(key, detail)


def example_line(key: str, detail: str) -> str:
    """One record and its problem, as a line of bounded length."""
    line = " ".join(f"    {key}  {detail}".rstrip().splitlines())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..."
