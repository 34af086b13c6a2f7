"""What a dataset left out, and what is irregular about the rest: counts and a few examples, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from pipeline.dataset.manifest import IRREGULARITIES, REJECTS
from pipeline.storage.location import Location

EXAMPLES = 3
_ROWS = 8192
_WIDTH = 160  # characters of a line in a terminal; the table has all of it


@dataclass(kw_only=True)
class Listed:
    """The records of one source with one reason or irregularity; (key, detail) of the first of them."""

    source: str
    what: str
    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


def rejected(dataset: Location) -> list[Listed]:
    """Every reason of every source, sources in the order of the plan, the most frequent reason first.

    Read in batches, so memory does not grow with the number of rejects. Empty where the table is missing.
    """
    return _listed(dataset / REJECTS, "reason")


def irregular(dataset: Location) -> list[Listed]:
    """Likewise every irregularity of the samples."""
    return _listed(dataset / IRREGULARITIES, "irregularity")


def rejects_text(dataset: Location) -> str:
    """What was rejected and what is irregular, for a terminal; empty if nothing is."""
    return "\n".join(
        [
            *_lines(dataset / REJECTS, rejected(dataset), ("record was rejected", "records were rejected")),
            *_lines(dataset / IRREGULARITIES, irregular(dataset), ("irregularity", "irregularities")),
        ]
    )


def _listed(place: Location, column: str) -> list[Listed]:
    if not place.exists():
        return []
    found: dict[tuple[str, str], Listed] = {}
    with pq.ParquetFile(place.fetch(), pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=["source", "key", column, "detail"]):
            for row in batch.to_pylist():
                group = (row["source"], row[column])
                one = found.setdefault(group, Listed(source=group[0], what=group[1]))
                one.count += 1
                if len(one.examples) < EXAMPLES:
                    one.examples.append((row["key"], row["detail"]))
    order = {source: at for at, source in enumerate(dict.fromkeys(source for source, _ in found))}
    return sorted(found.values(), key=lambda r: (order[r.source], -r.count, r.what))


def _lines(place: Location, groups: Sequence[Listed], words: tuple[str, str]) -> Iterator[str]:
    if not groups:
        return
    total = sum(group.count for group in groups)
    yield f"{total:,} {words[total > 1]}; {place.uri} has all of them"
    for group in groups:
        yield f"  {group.source}: {group.count:,} x {group.what}"
        for key, detail in group.examples:
            yield example_line(key, detail)


def example_line(key: str, detail: str) -> str:
    """One record and what is wrong with it, as a line of bounded length."""
    line = " ".join(f"    {key}  {detail}".rstrip().splitlines())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..."
