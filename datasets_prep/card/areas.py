"""Areas of masks, in a separate pass because no other measure needs the masks themselves.

If a source has more than MAX_MASKS masks, only those of some samples are measured, chosen by a hash of (seed,
key); the card says which share that is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datasets_prep.card.measures import BASIS
from datasets_prep.card.pick import ranks
from datasets_prep.card.scan import SourceScan, open_shards
from pipeline.dataset.reader import ShardReader
from pipeline.records import masks

MAX_MASKS = 1 << 16  # of one source, about; a quarter of a second for masks of usual size
_COLUMNS = [
    f"{kind}.list.element.{leaf}" for kind in ("regions", "targets") for leaf in ("height", "width", "counts")
]


def measure_areas(reader: ShardReader, source: SourceScan, seed: int) -> None:
    """Fill in the tally of areas, in hundredths of a percent of the frame."""
    while source.masks > MAX_MASKS * source.every:
        source.every *= 2
    if not source.masks:
        return
    tally = source.tallies["mask"]
    for file in open_shards(reader, source.entry.name):
        for rows in _rows(file, source.every, seed):
            found = np.array([share for row in rows for share in _shares(row)])
            source.measured += len(found)
            source.absent += int((found == 0).sum())
            # At least 1: rounding must not turn a tiny object into an absent one.
            tally.add(np.maximum(np.rint(found[found > 0] * 100 * BASIS), 1))


def _rows(file: pq.ParquetFile, every: int, seed: int) -> Iterator[list[dict[str, list[dict]]]]:
    """Rows whose masks are measured, one row group at a time; a group without any is not read."""
    for group in range(file.num_row_groups):
        chosen = None
        if every > 1:
            keys = file.read_row_group(group, columns=["key"])["key"].to_pylist()
            chosen = np.flatnonzero(ranks(seed, keys) < np.uint64(2**64 // every))
            if not len(chosen):
                continue
        table = file.read_row_group(group, columns=_COLUMNS)
        yield (table if chosen is None else table.take(pa.array(chosen))).to_pylist()


def _shares(row: dict[str, list[dict]]) -> Iterator[float]:
    """The part of its frame that each mask of a row covers, 0-1."""
    for track in (*row["regions"], *row["targets"]):
        height, width = track["height"], track["width"]
        for counts in track["counts"]:
            yield masks.area(counts, height, width) / (height * width)
