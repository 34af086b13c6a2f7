"""The whole examination: every record of every source, whatever a plan selects, and every medium once.

The annotations are read as preparation reads them: to find records, to find media, to check. The results are
findings and some forty bytes a sample. Chunks of samples that match others are read again, for the keys.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from datasets_prep.doctor.check import FINDING_SCHEMA, TRACE_SCHEMA, Checker
from datasets_prep.doctor.compare import compare, shared_videos
from datasets_prep.doctor.duplicates import NAMED_SCHEMA, Overlap, SampleLookup, samples_to_name
from datasets_prep.doctor.inspect import inspect_media, inspection_table
from datasets_prep.passes.chunks import PlannedChunk, ReadUnit, list_units
from datasets_prep.passes.links import with_links
from datasets_prep.passes.media_table import MediaTable
from datasets_prep.passes.parallel import rows_apart, share, spread
from datasets_prep.passes.read import read_chunk
from datasets_prep.passes.selection import collect
from datasets_prep.run import find_records, survey_annotations
from pipeline.plan.data import PrepConfig, SelectConfig, Use
from pipeline.plan.doctor import DoctorConfig
from pipeline.storage.location import Location

_MEDIA_PER_TASK = 16  # decoding frames takes longer than probing alone
_CHECKED = pa.schema(
    [("chunk", pa.int32()), ("records", pa.int64()), ("findings", pa.binary()), ("traces", pa.binary())]
)
_ORDER = [(name, "ascending") for name in ("chunk", "record", "part")]


@dataclass(frozen=True, kw_only=True)
class Examination:
    """All findings, with counts by source; ``videos`` counts the distinct media that its samples use."""

    findings: pa.Table  # FINDING_SCHEMA, in the order of the plan
    records: Mapping[str, int]
    samples: Mapping[str, int]
    videos: Mapping[str, int]
    overlaps: Sequence[Overlap]


def examine(
    config: PrepConfig, doctor: DoctorConfig, resolve: Callable[[str], Location], seed: int
) -> Examination:
    """Look at everything, on the connected Ray cluster.

    Raises UserError for an annotation file that is missing or unreadable as a whole.
    """
    sources = tuple(
        s.model_copy(update={"select": SelectConfig(videos=s.select.videos)}) for s in config.sources
    )
    config = config.model_copy(update={"sources": sources})
    resolve = with_links(config, resolve)
    units = list_units(sources, resolve)
    chunks = find_records(units, config)
    survey = collect(survey_annotations(chunks, units, seed), chunks, units)
    media = _inspect(survey.media, resolve, doctor.decode_frames)
    records, findings, traces = _check(chunks, units, media, config.min_frames, seed)

    source_of_chunk = np.array([units[c.unit].source_index for c in chunks], np.int64)
    is_benchmark = [s.use is Use.BENCHMARK for s in sources]
    names = [s.name for s in sources]
    files = [units[c.unit].annotations.name for c in chunks]
    lookup = SampleLookup(
        traces=traces, source_of_chunk=source_of_chunk, media=media, sources=names, files=files
    )
    hits = compare(lookup.samples, lookup.videos, is_benchmark)
    shared = shared_videos(hits, lookup.samples, lookup.videos, is_benchmark)
    to_name = samples_to_name(hits, shared)
    lookup.name(to_name, _name(lookup.places(to_name), chunks, units, seed))
    all_findings = pa.concat_tables(
        [findings, *(table for found in hits for table in lookup.findings(found))]
    )
    return Examination(
        findings=all_findings.sort_by([*_ORDER, ("finding", "ascending")]).combine_chunks(),
        records=_by_source(names, source_of_chunk[list(records)], list(records.values())),
        samples=_by_source(names, lookup.samples.source_N),
        videos={name: lookup.videos_of(index) for index, name in enumerate(names)},
        overlaps=[lookup.overlap(one) for one in shared],
    )


def _inspect(media: pa.Table, resolve: Callable[[str], Location], decode_frames: int) -> MediaTable:
    pieces = rows_apart(media, _MEDIA_PER_TASK)

    def one(piece: pa.Table) -> pa.Table:
        return inspect_media(piece, resolve, decode_frames)

    return inspection_table(list(spread("probing media", pieces, one, media.num_rows)))


def _check(
    chunks: Sequence[PlannedChunk], units: Sequence[ReadUnit], media: MediaTable, min_frames: int, seed: int
) -> tuple[dict[int, int], pa.Table, pa.Table]:
    """The number of records by chunk; all findings about single records; all traces, in order."""
    shared = share(media.table, MediaTable)

    def one(piece: tuple[int, PlannedChunk]) -> pa.Table:
        number, planned = piece
        checker = Checker(shared(), min_frames, seed)
        found = checker(number, planned, units[planned.unit])
        row = [[number], [found.records], [_packed(found.findings)], [_packed(found.traces)]]
        return pa.table(row, schema=_CHECKED)

    records: dict[int, int] = {}
    findings, traces = [FINDING_SCHEMA.empty_table()], [TRACE_SCHEMA.empty_table()]
    for done in spread("checking records", list(enumerate(chunks)), one, len(chunks)):
        records |= zip(done["chunk"].to_pylist(), done["records"].to_pylist(), strict=True)
        findings += map(_unpacked, done["findings"].to_pylist())
        traces += map(_unpacked, done["traces"].to_pylist())
    return records, pa.concat_tables(findings), pa.concat_tables(traces).combine_chunks().sort_by(_ORDER)


def _name(
    places: Mapping[int, Sequence[tuple[int, int]]],
    chunks: Sequence[PlannedChunk],
    units: Sequence[ReadUnit],
    seed: int,
) -> pa.Table:
    """NAMED_SCHEMA: the keys of the samples at (record, part) of some chunks, in order."""

    def one(piece: tuple[int, PlannedChunk, Sequence[tuple[int, int]]]) -> pa.Table:
        number, planned, at = piece
        asked = set(at)
        read = read_chunk(units[planned.unit], planned.chunk, seed)
        found = [(number, i.record, i.part, i.key) for i in read if (i.record, i.part) in asked]
        return pa.table(list(zip(*found, strict=True)), schema=NAMED_SCHEMA)

    pieces = [(number, chunks[number], at) for number, at in sorted(places.items())]
    done = spread("naming samples", pieces, one, sum(map(len, places.values())))
    return pa.concat_tables([NAMED_SCHEMA.empty_table(), *done]).sort_by(_ORDER).combine_chunks()


def _by_source(names: Sequence[str], at: np.ndarray, counts: Sequence[int] | None = None) -> dict[str, int]:
    sums = np.bincount(np.asarray(at, np.int64), counts, len(names))
    return dict(zip(names, sums.astype(int).tolist(), strict=True))


def _packed(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return out.getvalue()


def _unpacked(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()
