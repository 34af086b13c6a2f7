"""What a dataset left out: counts and the first few examples of each reason, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from pipeline.dataset.shards import REJECTS
from pipeline.storage.location import Location

EXAMPLES = 3
_ROWS = 8192
_WIDTH = 160  # characters of a line in a terminal; the table has all of it


@dataclass(kw_only=True)
class Rejected:
    """The records of one source that were rejected for one reason; (key, detail) of the first of them."""

    source: str
    reason: str
    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


def rejected(dataset: Location) -> list[Rejected]:
    """Every reason of every source, sources in the order of the plan, the most frequent reason first.

    Read in batches, so memory does not grow with the number of rejects. Empty where the table is missing.
    """
    place = dataset / REJECTS
    if not place.exists():
        return []
    found: dict[tuple[str, str], Rejected] = {}
    with pq.ParquetFile(place.fetch(), pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=["source", "key", "reason", "detail"]):
            for row in batch.to_pylist():
                group = (row["source"], row["reason"])
                one = found.setdefault(group, Rejected(source=group[0], reason=group[1]))
                one.count += 1
                if len(one.examples) < EXAMPLES:
                    one.examples.append((row["key"], row["detail"]))
    order = {source: at for at, source in enumerate(dict.fromkeys(source for source, _ in found))}
    return sorted(found.values(), key=lambda r: (order[r.source], -r.count, r.reason))


def rejects_text(dataset: Location) -> str:
    """Reasons with their counts and examples, for a terminal; empty if no record was rejected."""
    return "\n".join(_lines(dataset))


def _lines(dataset: Location) -> Iterator[str]:
    groups = rejected(dataset)
    if not groups:
        return
    total = sum(group.count for group in groups)
    records = "record was" if total == 1 else "records were"
    yield f"{total:,} {records} rejected; {(dataset / REJECTS).uri} has all of them"
    for group in groups:
        yield f"  {group.source}: {group.count:,} x {group.reason}"
        for key, detail in group.examples:
            yield example_line(key, detail)


def example_line(key: str, detail: str) -> str:
    """One record and what is wrong with it, as a line of bounded length."""
    line = " ".join(f"    {key}  {detail}".rstrip().splitlines())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..."
