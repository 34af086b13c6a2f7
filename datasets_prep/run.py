"""The whole job: annotation files -> samples -> Parquet shards with a manifest.

Rows are numbered when they are read and brought back into that order when they are written, so the bytes
are the same on one CPU and on fifty machines. Shards are written before the manifest, under names and with
bytes that depend on the plan alone: a job that was killed anywhere is simply run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from datasets_prep.stages.probe import MEDIA_SCHEMA, probe_media
from datasets_prep.stages.read import ReadUnit, list_units, read_unit
from datasets_prep.stages.write import INDEX_SCHEMA, ShardJob, finish_rows, lay_out, write_job
from pipeline import progress
from pipeline.artifact import without_credentials
from pipeline.cluster import connect
from pipeline.config.data import PrepConfig
from pipeline.errors import UserError
from pipeline.schema.shards import (
    MANIFEST,
    REJECTS,
    Manifest,
    ShardEntry,
    SourceEntry,
    make_manifest,
    parquet_bytes,
    write_manifest,
)
from pipeline.step import StepContext, StepResult
from pipeline.storage import Location

if TYPE_CHECKING:
    import ray
    import ray.data

Resolve = Callable[[str], Location]
_BLOCK_BYTES = 16 << 20  # small enough that two sources share two CPUs evenly
_PROBES_PER_BLOCK = 16
_FINISH_ROWS = 128


def prepare(context: StepContext) -> StepResult:
    """The builder of the prepare step."""
    with connect(context.plan.ray):
        manifest = build(context.plan.data, context.resolve, context.out, context.seed)
    summary = {s.name: s.model_dump(mode="json", exclude={"media", "name"}) for s in manifest.sources}
    return StepResult(digest=manifest.digest, summary={"sources": summary, "shards": len(manifest.shards)})


def build(config: PrepConfig, resolve: Resolve, out: Location, seed: int) -> Manifest:
    """Prepare a dataset in ``out`` on the connected Ray cluster.

    Raises UserError for an annotation file that is missing or unreadable as a whole, for a source without
    one good sample, and for one with more rejects than ``max_reject_share``. Nothing is present then.
    """
    (out / MANIFEST).delete()
    _set_up_ray_data()
    units = list_units(config.sources, resolve)
    drafts = read(units, seed)
    media = probe(drafts, resolve)
    finished = finish(drafts, media, config, seed)
    layout = lay_out(
        index_of(finished), config, units, lambda root: without_credentials(resolve(root).uri), seed
    )
    (out / REJECTS).write_bytes(parquet_bytes(layout.rejects))
    refuse_bad_sources(layout.sources, config, out)
    shards = write(layout.jobs, finished, out)
    manifest = make_manifest(shards, layout.sources, config.rows_per_shard)
    write_manifest(out, manifest)
    return manifest


def read(units: Sequence[ReadUnit], seed: int) -> list[ray.ObjectRef]:
    """Blocks of drafts; one task reads one file."""
    import ray

    def one(batch: pa.Table) -> Iterator[pa.Table]:
        for number in batch["unit"].to_pylist():
            yield from read_unit(units[number], seed)

    numbers = ray.data.from_items([{"unit": n} for n in range(len(units))], override_num_blocks=len(units))
    return _run("reading annotations", numbers.map_batches(one, batch_size=1, batch_format="pyarrow"))


def probe(drafts: Sequence[ray.ObjectRef], resolve: Resolve) -> pa.Table:
    """MEDIA_SCHEMA, one row for each distinct video or folder, and an empty one for rejected records."""
    import ray

    distinct: dict[str, str] = {}
    for rows in _each(drafts, _media_column):
        distinct.update(zip(rows["media_id"].to_pylist(), rows["media"].to_pylist(), strict=True))
    distinct.pop("", None)
    nothing = {"media_id": "", "reason": "", "detail": "", "video": None}
    tables = [pa.Table.from_pylist([nothing], schema=MEDIA_SCHEMA)]
    if distinct:
        items = [{"media_id": name, "media": distinct[name]} for name in sorted(distinct)]
        blocks = min(-(-len(items) // _PROBES_PER_BLOCK), 4096)
        wanted = ray.data.from_items(items, override_num_blocks=blocks)
        probed = wanted.map_batches(
            partial(probe_media, resolve=resolve), batch_size=None, batch_format="pyarrow", num_cpus=1
        )
        tables += ray.get(_run("probing media", probed, len(items)))
    return pa.concat_tables(tables).sort_by("media_id").combine_chunks()


def finish(
    drafts: Sequence[ray.ObjectRef], media: pa.Table, config: PrepConfig, seed: int
) -> list[ray.ObjectRef]:
    """Blocks of finished rows: samples and rejects."""
    import ray

    shared = ray.put(media)

    def one(batch: pa.Table) -> pa.Table:
        return finish_rows(batch, ray.get(shared), config, seed)

    rows = ray.data.from_arrow_refs(list(drafts))  # type: ignore[arg-type]
    return _run(
        "making samples", rows.map_batches(one, batch_size=_FINISH_ROWS, batch_format="pyarrow"), rows.count()
    )


def index_of(finished: Sequence[ray.ObjectRef]) -> pa.Table:
    """INDEX_SCHEMA plus ``block`` and ``row``: where each row lies."""
    tables = []
    for number, table in enumerate(_each(finished, _index_columns)):
        place = {"block": [number] * table.num_rows, "row": list(range(table.num_rows))}
        for name, values in place.items():
            table = table.append_column(name, pa.array(values, pa.int64()))
        tables.append(table)
    return pa.concat_tables(tables).combine_chunks()


def write(jobs: Sequence[ShardJob], finished: Sequence[ray.ObjectRef], out: Location) -> list[ShardEntry]:
    """Write every shard in a task of its own."""
    import ray

    task = ray.remote(num_cpus=1)(write_job)
    with progress.track("writing shards", len(jobs)) as bar:
        refs = [task.remote(job, out, *(finished[b] for b in job.blocks)) for job in jobs]
        for at in range(len(refs)):
            ray.wait(refs, num_returns=at + 1)
            bar.advance()
        return ray.get(refs)


def refuse_bad_sources(sources: Sequence[SourceEntry], config: PrepConfig, out: Location) -> None:
    """Raise UserError when a source is worse than the plan allows. The rejects table is there to look at."""
    for entry, source in zip(sources, config.sources, strict=True):
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
        raise UserError(
            f"source {entry.name}",
            f"{problem}: {entry.read} read, {entry.rejected} rejected ({reasons}).",
            f"See {(out / REJECTS).uri}, then mend the source or its entry in the plan.",
        )


def _run(title: str, data: ray.data.Dataset, total: int | None = None) -> list[ray.ObjectRef]:
    """Run a Ray Data plan and keep its blocks, in no particular order, in the object store."""
    refs: list[ray.ObjectRef] = []
    with progress.track(title, total) as bar:
        for bundle in data.iter_internal_ref_bundles():
            refs += bundle.block_refs
            bar.advance(bundle.num_rows() or 0)
    return refs


def _each(refs: Sequence[ray.ObjectRef], function: Callable[[pa.Table], pa.Table]) -> Iterable[pa.Table]:
    import ray

    task = ray.remote(num_cpus=1)(function)
    return [ray.get(ref) for ref in [task.remote(ref) for ref in refs]]


def _media_column(block: pa.Table) -> pa.Table:
    table = block.select(["media_id", "media"])
    return table.group_by("media_id").aggregate([("media", "min")]).rename_columns(["media_id", "media"])


def _index_columns(block: pa.Table) -> pa.Table:
    return block.select(INDEX_SCHEMA.names)


def _set_up_ray_data() -> None:
    import ray.data

    # Ray Data sets its own loggers up on import; what it says about each plan would bury the bars.
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)
    options: Any = ray.data.DataContext.get_current()
    options.enable_progress_bars = False
    options.print_on_execution_start = False
    options.target_max_block_size = _BLOCK_BYTES
