"""The counts of a dataset: what became of every record, and whether the plan tolerates it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from datasets_prep.passes.select import rank
from datasets_prep.passes.shard_job import Receipt
from pipeline.dataset.manifest import REJECTS, SELECTED, ShardEntry, SourceEntry
from pipeline.dataset.writer import IRREGULAR_SCHEMA, REJECT_SCHEMA, SELECTED_SCHEMA, parquet_bytes
from pipeline.errors import UserError
from pipeline.plan.data import ALL_VIDEOS, PrepConfig, SourceConfig
from pipeline.storage.location import Location


def shards_of(source: str, receipts: Sequence[Receipt]) -> list[ShardEntry]:
    """The shards of a source, in order."""
    return [r.shard for r in receipts if r.source == source and r.shard is not None]


def entry_of(source: SourceConfig, receipts: Sequence[Receipt], identities: Mapping[str, str]) -> SourceEntry:
    """The manifest's entry of a source, still without its media."""
    own = [r for r in receipts if r.source == source.name]
    reasons: Counter[str] = sum((r.reasons for r in own), Counter())
    irregularities: Counter[str] = sum((r.irregularities for r in own), Counter())
    return SourceEntry(
        name=source.name,
        use=source.use,
        read=sum(r.read for r in own),
        kept=sum(r.shard.rows for r in own if r.shard is not None),
        planned=source.select.count,
        rejected=reasons.total(),
        not_selected=sum(r.not_selected for r in own),
        irregularities=dict(sorted(irregularities.items())),
        rejects=dict(sorted(reasons.items())),
        identity=identities.get(source.name, ""),
        media=(),
    )


def rejects_of(source: str, receipts: Sequence[Receipt]) -> pa.Table:
    """REJECT_SCHEMA rows of a source, in the order of its files."""
    rows = [
        {"source": source, **reject.model_dump()}
        for receipt in receipts
        if receipt.source == source
        for reject in receipt.rejects
    ]
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)


def irregularities_of(source: str, receipts: Sequence[Receipt]) -> pa.Table:
    """IRREGULAR_SCHEMA rows of a source, in the order of its files."""
    rows = [
        {"source": source, **row.model_dump()}
        for receipt in receipts
        if receipt.source == source
        for row in receipt.irregular
    ]
    return pa.Table.from_pylist(rows, schema=IRREGULAR_SCHEMA)


def write_selected(out: Location, config: PrepConfig, shards: Sequence[ShardEntry], seed: int) -> None:
    """Write ``selected.pq``: the samples kept from sources that keep a part, with their ranks."""
    tables = [SELECTED_SCHEMA.empty_table()]
    partial = {s.name for s in config.sources if s.select.count is not None}
    for shard in shards:
        if shard.source in partial:
            with (out / shard.name).open_read() as file:
                keys = pq.read_table(file, columns=["key"])["key"].to_pylist()
            columns = [[shard.source] * len(keys), keys, [rank(seed, key) for key in keys]]
            tables.append(pa.table(columns, schema=SELECTED_SCHEMA))
    (out / SELECTED).write_bytes(parquet_bytes(pa.concat_tables(tables)))


def refuse_bad_sources(sources: Sequence[SourceEntry], config: PrepConfig, out: Location) -> None:
    """Raise UserError when a source is worse than the plan allows. Call it after writing the rejects."""
    for entry, source in zip(sources, config.sources, strict=True):
        assert entry.read == entry.kept + entry.rejected + entry.not_selected, f"{entry.name} does not add up"
        share = entry.rejected / entry.read if entry.read else 1.0
        empty = not entry.kept and source.select.count != 0
        if not empty and share <= config.max_reject_share:
            continue
        reasons = ", ".join(f"{count} x {reason}" for reason, count in entry.rejects.items()) or "it is empty"
        problem = (
            "gave no sample"
            if empty
            else f"lost {share:.1%} of its samples, the plan allows {config.max_reject_share:.1%}"
        )
        if empty and entry.not_selected == entry.read > 0:
            raise UserError(
                f"source {entry.name}",
                f"selects none of its {entry.read} records.",
                "With few videos none may fall into `select.videos`: set another `seed`, or a wider range."
                if source.select.videos != ALL_VIDEOS
                else "Correct what it selects (`keep_types`, `split`, `keep_videos`), or remove the entry.",
            )
        raise UserError(
            f"source {entry.name}",
            f"{problem}: {entry.read} read, {entry.rejected} rejected ({reasons}).",
            f"See {(out / REJECTS).uri}, then mend the source or its entry in the plan.",
        )
