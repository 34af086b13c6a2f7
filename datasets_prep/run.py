"""The whole preparation: annotation files -> samples -> Parquet shards with a manifest.

Files are cut into chunks by their own structure, and a shard is made of consecutive chunks, so the content of
a shard depends only on the inputs and the plan: the bytes are the same on one CPU and on fifty machines. The
annotations are read twice, first for the media that they name, then to write the shards; in between only an
index of a few bytes per record is kept. Each shard leaves a receipt, so a killed job continues where it was.
The manifest is written last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa

from datasets_prep.card.build import write_card
from datasets_prep.outcome import (
    entry_of,
    irregularities_of,
    refuse_bad_sources,
    rejects_of,
    shards_of,
    write_selected,
)
from datasets_prep.passes.bake import Baker
from datasets_prep.passes.chunks import PlannedChunk, ReadUnit, cut, list_units
from datasets_prep.passes.finish import Finisher
from datasets_prep.passes.judge import judge
from datasets_prep.passes.layout import lay_out
from datasets_prep.passes.links import with_links
from datasets_prep.passes.media_table import MediaTable
from datasets_prep.passes.parallel import each, rows_apart, share, spread
from datasets_prep.passes.probe import probe_media
from datasets_prep.passes.selection import Candidates, collect, plan_selection
from datasets_prep.passes.shard_job import WORK, Receipt, ShardJob, finished_before, run_job
from datasets_prep.passes.survey import survey_chunks
from datasets_prep.readme import write_readme
from datasets_prep.reuse import annotation_digests, reuse_sources, source_identity
from datasets_prep.sources.json.json_file import Chunk
from pipeline.dataset.manifest import (
    IRREGULARITIES,
    MANIFEST,
    REJECTS,
    Manifest,
    make_manifest,
    write_manifest,
)
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import parquet_bytes
from pipeline.jobs.cluster import connect
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.data import PrepConfig
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

Resolve = Callable[[str], Location]
_PROBES = 64  # media that one task probes
_FOLDERS_PER_PROBES = 4
_CHUNKS_AT_ONCE = 8  # surveyed by one task: neighbouring chunks mostly name the same media


def prepare(context: StepContext) -> StepResult:
    """The builder of the prepare step."""
    digests = annotation_digests(context.plan, context.spec, context.inputs)
    with connect(context.plan.ray):
        manifest = build(context.plan.data, context.resolve, context.out, context.seed, digests)
    reader = ShardReader(context.out, verify=context.plan.storage.verify_videos)
    write_card(reader, context.out, title=context.plan.name, seed=context.seed)
    sources = {s.name: s.model_dump(mode="json", exclude={"media", "name"}) for s in manifest.sources}
    summary = {"sources": sources, "shards": len(manifest.shards)}
    if manifest.bake is not None:
        files = [shard.frames for shard in manifest.shards if shard.frames is not None]
        summary["baked"] = {"frames": sum(f.rows for f in files), "bytes": sum(f.bytes for f in files)}
    return StepResult(digest=manifest.digest, summary=summary)


def build(
    config: PrepConfig,
    resolve: Resolve,
    out: Location,
    seed: int,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Prepare a dataset in ``out`` on the connected Ray cluster.

    ``annotations`` are digests of each source's annotation files; sources that have one may be copied from a
    dataset beside ``out``, and a killed job continues where it was. Raises UserError for an annotation file
    that is missing or unreadable as a whole, for a source without one good sample, and for one with more
    rejects than ``max_reject_share``; then there is no manifest.
    """
    (out / MANIFEST).delete()
    annotations = annotations or {}
    resolve = with_links(config, resolve)
    units = list_units(config.sources, resolve)
    chunks = find_records(units, config)
    survey = collect(survey_annotations(chunks, units, seed), chunks, units)
    most_folders = max(len(source.media) for source in config.sources)
    choice = plan_selection(
        config.sources,
        survey,
        chunks,
        probe=lambda media: list(probe(media, resolve, most_folders)),
        examine=lambda pieces, media: examine(pieces, media, units, config, seed, resolve),
    )
    identities = {
        s.name: source_identity(
            s, config, seed, annotations[s.name], choice.media.digest_of(choice.used.get(s.name, ()))
        )
        for s in config.sources
        if s.name in annotations
    }
    taken = reuse_sources(out, identities)
    jobs = lay_out(
        config.sources,
        units,
        chunks,
        cuts=choice.cuts,
        chosen=choice.chosen,
        rows_per_shard=config.rows_per_shard,
        identities=identities,
    )
    todo = [j for j in jobs if j.source not in taken]
    receipts = write(todo, units, choice.media, config, out, seed, resolve)
    sources = [
        taken[s.name].entry if s.name in taken else entry_of(s, receipts, identities) for s in config.sources
    ]
    sources = [
        e.model_copy(update={"media": tuple(without_credentials(resolve(root).uri) for root in s.media)})
        for e, s in zip(sources, config.sources, strict=True)
    ]
    rejects = [
        taken[s.name].rejects if s.name in taken else rejects_of(s.name, receipts) for s in config.sources
    ]
    irregular = [
        taken[s.name].irregularities if s.name in taken else irregularities_of(s.name, receipts)
        for s in config.sources
    ]
    (out / IRREGULARITIES).write_bytes(parquet_bytes(pa.concat_tables(irregular)))
    (out / REJECTS).write_bytes(parquet_bytes(pa.concat_tables(rejects)))
    refuse_bad_sources(sources, config, out)
    shards = [
        shard
        for s in config.sources
        for shard in (taken[s.name].shards if s.name in taken else shards_of(s.name, receipts))
    ]
    write_selected(out, config, shards, seed)
    manifest = make_manifest(shards, sources, config.rows_per_shard, config.bake)
    links_to = tuple(without_credentials(resolve(folder).uri) for folder in config.allow_links_to)
    manifest = manifest.model_copy(update={"links_to": links_to})
    write_readme(manifest, out)
    write_manifest(out, manifest)
    (out / WORK).delete()
    return manifest


def find_records(units: Sequence[ReadUnit], config: PrepConfig) -> list[PlannedChunk]:
    """The chunks of every file, in the order of the plan."""

    def one(number: int) -> tuple[int, list[Chunk]]:
        return number, cut(units[number], config.rows_per_shard)

    found = dict(each("finding records", range(len(units)), one))
    return [PlannedChunk(unit=n, chunk=chunk) for n in range(len(units)) for chunk in found[n]]


def survey_annotations(
    chunks: Sequence[PlannedChunk], units: Sequence[ReadUnit], seed: int
) -> Iterator[pa.Table]:
    """SURVEY_SCHEMA tables of all chunks."""

    pieces: list[tuple[int, list[tuple[int, Chunk]]]] = []
    for number, planned in enumerate(chunks):
        if not pieces or pieces[-1][0] != planned.unit or len(pieces[-1][1]) == _CHUNKS_AT_ONCE:
            pieces.append((planned.unit, []))
        pieces[-1][1].append((number, planned.chunk))

    def one(piece: tuple[int, list[tuple[int, Chunk]]]) -> pa.Table:
        return survey_chunks(piece[1], units[piece[0]], seed)

    return spread("reading annotations", pieces, one)


def probe(media: pa.Table, resolve: Resolve, folders: int = 1) -> Iterator[pa.Table]:
    """MEDIA_SCHEMA tables of rows ``media_id``, ``media``.

    Neighbours by name come into one piece, so that one page of a folder's listing on S3 covers many of them.
    A piece takes at least a page of each folder; with more folders a piece has more media.
    """
    pieces = rows_apart(media.sort_by("media"), _PROBES * max(1, folders // _FOLDERS_PER_PROBES))
    return spread("probing media", pieces, partial(probe_media, resolve=resolve), media.num_rows)


def examine(
    pieces: Sequence[Candidates],
    media: MediaTable,
    units: Sequence[ReadUnit],
    config: PrepConfig,
    seed: int,
    resolve: Resolve,
) -> Iterator[pa.Table]:
    """VERDICT_SCHEMA tables: which candidates would become samples."""
    shared = share(media.table, MediaTable)

    def one(piece: Candidates) -> pa.Table:
        unit = units[piece.planned.unit]
        finisher = Finisher(unit.source, shared(), config.min_frames, seed)
        return judge(piece, unit, finisher, seed, Baker.of(config.bake, unit.source, resolve))

    return spread("choosing samples", pieces, one, sum(len(p.places) for p in pieces))


def write(
    jobs: Sequence[ShardJob],
    units: Sequence[ReadUnit],
    media: MediaTable,
    config: PrepConfig,
    out: Location,
    seed: int,
    resolve: Resolve,
) -> list[Receipt]:
    """Receipts of all jobs, in order; those of an earlier attempt are used where their shard is intact."""
    shared = share(media.table, MediaTable)
    sources = {s.name: s for s in config.sources}

    def one(job: ShardJob) -> pa.Table:
        receipt = finished_before(job, out)
        if receipt is None:
            source = sources[job.source]
            finisher = Finisher(source, shared(), config.min_frames, seed)
            baker = Baker.of(config.bake, source, resolve)
            receipt = run_job(job, units, finisher, out, seed, baker)
        return pa.table({"receipt": pa.array([receipt.model_dump_json()])})

    found = [
        Receipt.model_validate_json(text)
        for table in spread("writing shards", jobs, one, len(jobs))
        for text in table["receipt"].to_pylist()
    ]
    place = {(job.source, job.number): at for at, job in enumerate(jobs)}
    return sorted(found, key=lambda r: place[r.source, r.number])
