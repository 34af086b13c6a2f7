"""Scans a source's shards once, by row group: counts, tallies, and which samples to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datasets_prep.card.measures import COLUMNS, MEASURES, measure, milliseconds
from datasets_prep.card.pick import Smallest, identities, ranks
from datasets_prep.card.tally import Tally, Videos
from pipeline.dataset.arrow import check_schema
from pipeline.dataset.manifest import SourceEntry
from pipeline.dataset.reader import ShardReader
from pipeline.plan.data import Use

_ROWS = 4096  # per batch; a batch of long conversations takes a few megabytes
_MORE = ("key", "task", "video.path", "video.sha256", "instants.list.element.start_bin")

Progress = Callable[[], object]


@dataclass(kw_only=True)
class SourceScan:
    """The results of one scan of a source."""

    entry: SourceEntry
    rows: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    videos: Videos = field(default_factory=Videos)
    tallies: dict[str, Tally] = field(default_factory=lambda: {m.name: Tally() for m in MEASURES})
    masks: int = 0  # on annotated frames, including those in which the object is absent
    instants: int = 0  # times without an end, which no tally counts
    absent: int = 0  # measured masks of area 0
    measured: int = 0  # masks whose area was measured
    without_digest: int = 0  # samples whose video has no digest
    every: int = 1  # one sample in this many had its masks measured
    shown: dict[str, list[int]] = field(default_factory=dict)  # by task, rows to show in the gallery

    @property
    def is_training(self) -> bool:
        """Whether the source may be trained on."""
        return self.entry.use is Use.TRAIN

    def number(self, name: str) -> int:
        """A number of the manifest's entry."""
        return int(getattr(self.entry, name))


def open_shards(reader: ShardReader, source: str) -> Iterator[pq.ParquetFile]:
    """The shards of a source, one open at a time. Remote ones are copied to the local cache."""
    for shard in reader.manifest.shards:
        if shard.source == source:
            place = reader.location / shard.name
            with pq.ParquetFile(place.fetch(), pre_buffer=False) as file:
                check_schema(file.schema_arrow, place.uri)
                yield file


def scan(
    reader: ShardReader, entry: SourceEntry, *, seed: int, gallery: int, advance: Progress
) -> SourceScan:
    """Scan a source, except for the areas of masks, and choose ``gallery`` rows of each task to show."""
    out = SourceScan(entry=entry)
    chosen: Smallest[int] = Smallest(gallery)
    for file in open_shards(reader, entry.name):
        for batch in file.iter_batches(batch_size=_ROWS, columns=[*COLUMNS, *_MORE]):
            _take(out, batch, seed, chosen)
        advance()
    out.tallies["video"].add(out.videos.ticks)  # after all batches, so that each video counts once
    out.shown = {task: chosen.of(task) for task in chosen.groups}
    return out


def _take(out: SourceScan, batch: pa.RecordBatch, seed: int, chosen: Smallest[int]) -> None:
    first = out.rows
    out.rows += batch.num_rows
    for count in pc.value_counts(batch["task"]).to_pylist():
        out.tasks[count["values"]] += count["counts"]
    for name, ticks in measure(batch).items():
        out.tallies[name].add(ticks)
    _videos(out, batch)
    for column in (batch["regions"], batch["targets"]):
        frames = pc.struct_field(column.flatten(), "frames")
        out.masks += pc.sum(pc.list_value_length(frames)).as_py() or 0
    out.instants += pc.sum(pc.list_value_length(batch["instants"])).as_py() or 0
    drawn = ranks(seed, batch["key"].to_pylist())
    chosen.offer(batch["task"], drawn, lambda i: first + i)


def _videos(out: SourceScan, batch: pa.RecordBatch) -> None:
    """Count each distinct video once: by the digest of its bytes, or without a digest by its path."""
    sha256, path = (pc.struct_field(batch["video"], name) for name in ("sha256", "path"))
    inside = pa.scalar(f"{out.entry.name}\0")
    bare = pc.equal(sha256, "")
    out.without_digest += pc.sum(bare).as_py() or 0
    names = pc.if_else(bare, pc.binary_join_element_wise(inside, path, ""), sha256)
    coded = names.dictionary_encode()
    known, first = np.unique(coded.indices.to_numpy(), return_index=True)
    ticks = milliseconds(pc.struct_field(batch["video"], "duration_s"))[first]
    out.videos.add(identities(coded.dictionary.take(pa.array(known)).to_pylist()), ticks)
