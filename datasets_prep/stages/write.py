"""Finished rows -> shards, rejects table and manifest entries."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from datasets_prep.draft import ODD, Draft, Reason, RejectError, unforeseen
from datasets_prep.stages.finish import finish
from datasets_prep.stages.read import DRAFT_SCHEMA, ReadUnit, reject_fields
from datasets_prep.stages.select import select
from datasets_prep.stages.validate import check
from pipeline.config.data import PrepConfig, SourceConfig
from pipeline.schema.arrow import SAMPLE_SCHEMA, to_row
from pipeline.schema.sample import VideoRef
from pipeline.schema.shards import REJECT_SCHEMA, ShardEntry, SourceEntry, write_shard
from pipeline.storage import Location

ORDER = ("source", "file", "record", "part")
INDEX_SCHEMA = pa.schema(
    [
        *(DRAFT_SCHEMA.field(name) for name in (*ORDER, "key", "reason", "detail", "left_out")),
        ("clamped", pa.bool_()),
    ]
)
FINISHED_SCHEMA = pa.schema([*INDEX_SCHEMA, ("sample", pa.struct(list(SAMPLE_SCHEMA)))])


def finish_rows(drafts: pa.Table, media: pa.Table, config: PrepConfig, seed: int) -> pa.Table:
    """DRAFT_SCHEMA -> FINISHED_SCHEMA: each draft becomes a valid sample or a reject with its reason."""
    found = media.take(
        pc.index_in(drafts["media_id"], value_set=media["media_id"].combine_chunks())
    ).to_pylist()
    rows = []
    for row, medium in zip(drafts.to_pylist(), found, strict=True):
        source = config.sources[row["source"]]
        out = {name: row[name] for name in (*ORDER, "key", "reason", "detail", "left_out")}
        out |= {"clamped": False, "sample": None}
        if not row["reason"] and not row["left_out"]:
            try:
                if medium["reason"]:
                    raise RejectError(Reason(medium["reason"]), medium["detail"])
                video = VideoRef(**{**medium["video"], "frames": tuple(medium["video"]["frames"])})
                draft: Draft = pickle.loads(row["draft"])
                finished = finish(draft, source, video, seed)
                check(finished.sample, source.use, config.min_frames)
                out |= {"clamped": finished.clamped, "sample": to_row(finished.sample)}
            except RejectError as error:
                out |= reject_fields(error)
            except ODD as error:
                out |= reject_fields(unforeseen(error, row["key"]))
        rows.append(out)
    return pa.Table.from_pylist(rows, schema=FINISHED_SCHEMA)


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """Rows that make one shard, in order, as (number of the block, row in it)."""

    source: str
    number: int
    rows: tuple[tuple[int, int], ...]

    @property
    def blocks(self) -> list[int]:
        """The blocks that it draws from."""
        return sorted({block for block, _ in self.rows})


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Everything that was decided before a shard is written."""

    jobs: tuple[ShardJob, ...]
    sources: tuple[SourceEntry, ...]
    rejects: pa.Table


def lay_out(
    index: pa.Table, config: PrepConfig, units: Sequence[ReadUnit], media: Callable[[str], str], seed: int
) -> Layout:
    """Select, order and cut into shards. ``index`` is INDEX_SCHEMA plus ``block`` and ``row``."""
    index = _without_doubles(index.sort_by([(name, "ascending") for name in ORDER]))
    files = {(u.source_index, u.file_index): u.annotations.name for u in units}
    jobs: list[ShardJob] = []
    entries: list[SourceEntry] = []
    for number, source in enumerate(config.sources):
        part = index.filter(pc.equal(index["source"], number))
        valid = part.filter(pc.and_(pc.equal(part["reason"], ""), pc.invert(part["left_out"])))
        chosen = select(valid["key"].to_pylist(), seed, source.select.count)
        kept = valid.filter(pa.array([key in chosen for key in valid["key"].to_pylist()], pa.bool_()))
        jobs += _cut(source, kept, config.rows_per_shard)
        reasons = Counter(reason for reason in part["reason"].to_pylist() if reason)
        entries.append(
            SourceEntry(
                name=source.name,
                use=source.use,
                read=part.num_rows,
                kept=kept.num_rows,
                rejected=sum(reasons.values()),
                not_selected=part.num_rows - kept.num_rows - sum(reasons.values()),
                clamped=pc.sum(kept["clamped"]).as_py() or 0,
                rejects=dict(sorted(reasons.items())),
                media=tuple(media(root) for root in source.media),
            )
        )
    return Layout(jobs=tuple(jobs), sources=tuple(entries), rejects=_rejects(index, config, files))


def write_job(job: ShardJob, out: Location, *blocks: pa.Table) -> ShardEntry:
    """Gather a job's rows from its blocks (in the order of ``job.blocks``) and write the shard."""
    place = {number: at for at, number in enumerate(job.blocks)}
    parts: list[pa.Table] = []
    at = 0
    while at < len(job.rows):
        block = job.rows[at][0]
        end = at
        while end < len(job.rows) and job.rows[end][0] == block:
            end += 1
        samples = blocks[place[block]]["sample"].take(pa.array([row for _, row in job.rows[at:end]]))
        parts.append(pa.Table.from_arrays(samples.combine_chunks().flatten(), schema=SAMPLE_SCHEMA))
        at = end
    return write_shard(out, job.source, job.number, pa.concat_tables(parts))


def _cut(source: SourceConfig, kept: pa.Table, rows_per_shard: int) -> list[ShardJob]:
    places = list(zip(kept["block"].to_pylist(), kept["row"].to_pylist(), strict=True))
    return [
        ShardJob(source=source.name, number=number, rows=tuple(places[at : at + rows_per_shard]))
        for number, at in enumerate(range(0, len(places), rows_per_shard))
    ]


def _without_doubles(index: pa.Table) -> pa.Table:
    """The second sample of one key is rejected: a JSON object may hold a name twice."""
    keys, reasons, details = (index[name].to_pylist() for name in ("key", "reason", "detail"))
    seen: set[str] = set()
    for at, key in enumerate(keys):
        if not reasons[at] and key in seen:
            reasons[at], details[at] = str(Reason.DUPLICATE_KEY), f"{key} came before"
        seen.add(key)
    for name, values in (("reason", reasons), ("detail", details)):
        index = index.set_column(index.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return index


def _rejects(index: pa.Table, config: PrepConfig, files: dict[tuple[int, int], str]) -> pa.Table:
    rows = []
    for row in index.filter(pc.not_equal(index["reason"], "")).to_pylist():
        file, detail = files[row["source"], row["file"]], row["detail"]
        if row["reason"] == Reason.UNFORESEEN:  # somebody will have to look at it, so say where it stands
            detail = f"record {row['record']} of {file}: {detail}"
        source = config.sources[row["source"]].name
        rows.append(
            {"source": source, "key": row["key"], "reason": row["reason"], "detail": detail, "file": file}
        )
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)
