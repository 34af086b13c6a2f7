"""Groups chunks into shards, from the chunks and the cuts alone, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datasets_prep.passes.chunks import PlannedChunk, ReadUnit
from datasets_prep.passes.select import ALL
from datasets_prep.passes.shard_job import ShardJob
from pipeline.canonical import digest
from pipeline.plan.data import SourceConfig

_JOB_BYTES = 64 << 20  # of annotations; limits jobs with few selected records in many chunks


def lay_out(
    sources: Sequence[SourceConfig],
    units: Sequence[ReadUnit],
    chunks: Sequence[PlannedChunk],
    *,
    cuts: Mapping[str, int],
    chosen: Mapping[int, int],
    rows_per_shard: int,
    identities: Mapping[str, str],
) -> list[ShardJob]:
    """Jobs in the order of the plan.

    Consecutive chunks of a source form one job while they hold no more than ``rows_per_shard`` records.
    ``chosen`` is the number of records with a rank within the cut, by position in ``chunks``, where known.
    """
    jobs: list[ShardJob] = []
    for index, source in enumerate(sources):
        own = [n for n, c in enumerate(chunks) if units[c.unit].source_index == index]
        groups: list[list[int]] = []
        rows = size = 0
        for n in own:
            chunk = chunks[n].chunk
            more_rows, more_size = chosen.get(n, chunk.count), chunk.end - chunk.start
            if not groups or rows + more_rows > rows_per_shard or size + more_size > _JOB_BYTES:
                groups.append([])
                rows = size = 0
            groups[-1].append(n)
            rows, size = rows + more_rows, size + more_size
        cut = cuts.get(source.name, ALL)
        for number, group in enumerate(groups):
            held = tuple(chunks[n] for n in group)
            places = [
                [units[p.unit].file_index, c.first, c.count, c.start, c.end, c.detail.decode("latin-1")]
                for p in held
                for c in (p.chunk,)
            ]
            jobs.append(
                ShardJob(
                    source=source.name,
                    number=number,
                    chunks=held,
                    cut=cut,
                    identity=digest([known, cut, places]) if (known := identities.get(source.name)) else "",
                )
            )
    return jobs
