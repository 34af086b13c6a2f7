"""A copy with baked frames of a dataset that refers to videos."""

from __future__ import annotations

from pathlib import Path

from datasets_prep.passes.bake import Baker
from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import REJECTS, make_manifest, write_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import write_shard
from pipeline.plan.data import BakeConfig
from pipeline.storage.location import Location


def baked_copy(plain: Location, out: Path, bake: BakeConfig) -> Location:
    """Write the same samples with their frames, one shard per source; the media folders do not exist.

    Samples whose video does not decode are rejected.
    """
    reader, place = ShardReader(plain), Location.parse(out)
    shards, entries = [], []
    for entry in reader.manifest.sources:
        samples = [reader.sample(entry.name, row) for row in range(reader.count(entry.name))]
        baker = Baker(config=bake, media=entry.media, resolve=Location.parse)
        name = next(s.name for s in reader.manifest.shards if s.source == entry.name)
        baked = baker.write(samples, place, name)
        kept = [sample for at, sample in enumerate(samples) if at not in baked.failed]
        shard = write_shard(place, entry.name, 0, to_table(kept))
        shards.append(shard.model_copy(update={"frames": baked.frames}))
        counts = {"kept": len(kept), "rejected": entry.rejected + len(baked.failed)}
        entries.append(entry.model_copy(update={**counts, "media": ("/nowhere",)}))
    if (plain / REJECTS).exists():
        (plain / REJECTS).copy_to(place / REJECTS)
    write_manifest(place, make_manifest(shards, entries, reader.manifest.rows_per_shard, bake))
    return place
