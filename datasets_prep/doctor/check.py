"""Checks one chunk of annotations: what is wrong with its records, and hashes to compare samples by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from datasets_prep.draft import Draft, Reason, RejectError
from datasets_prep.passes.chunks import PlannedChunk, ReadUnit
from datasets_prep.passes.finish import FinishedSample, Finisher
from datasets_prep.passes.media_table import MediaTable
from datasets_prep.passes.read import ReadItem, name_media, read_chunk
from datasets_prep.passes.shard_job import reject
from pipeline.plan.doctor import Finding
from pipeline.records import masks
from pipeline.records.irregularity import Irregularity
from pipeline.records.sample import MaskTrack, Sample
from pipeline.times.temporal import Outside

REJECT, WARNING = "reject", "warning"
# Where a record is, and what is wrong with it. ``outside_s``: how far a time lies outside, where clamping
# saves the record or would save it.
FINDING_SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("record", pa.int64()),
        ("part", pa.int32()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("file", pa.string()),
        ("finding", pa.string()),
        ("severity", pa.string()),
        ("detail", pa.large_string()),  # more than 2 GB for millions of records
        ("video", pa.string()),
        ("outside_s", pa.float64()),
    ]
)
# One row per sample: hashes of its key and of its content, and the row of its video.
TRACE_SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("record", pa.int64()),
        ("part", pa.int32()),
        ("key", pa.uint64()),
        ("fingerprint", pa.uint64()),
        ("media", pa.int32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ChunkFindings:
    """The result for a chunk. ``records`` counts those that the plan's ``keep_types`` and lists select."""

    records: int
    findings: pa.Table
    traces: pa.Table


class Checker:
    """Checks chunks as preparation does, and checks what preparation would keep more closely."""

    def __init__(self, media: MediaTable, min_frames: int, seed: int) -> None:
        self._media, self._min_frames, self._seed = media, min_frames, seed
        self._troubles = _troubles(media.table)

    def __call__(self, number: int, planned: PlannedChunk, unit: ReadUnit) -> ChunkFindings:
        """Check the chunk with this number in the plan."""
        source = unit.source
        finisher = Finisher(source, self._media, self._min_frames, self._seed)
        items = [i for i in read_chunk(unit, planned.chunk, self._seed) if not i.left_out]
        drafts = [i.draft for i in items if i.draft is not None]
        results, rows = finisher.finish_all(drafts), self._rows_of(drafts, unit)
        findings: list[dict[str, Any]] = []
        traces: list[dict[str, Any]] = []
        refused: list[tuple[dict[str, Any], Draft]] = []
        for item in items:
            place = {"chunk": number, "record": item.record, "part": item.part}
            result = item.error if item.draft is None else next(results)
            made, error = (None, result) if isinstance(result, RejectError) else (result, None)
            if error is not None:
                row = place | _rejected(unit, item, error)
                findings.append(row)
                if item.draft is not None and error.reason is Reason.SPAN_OUTSIDE:
                    refused.append((row, item.draft))
            if made is not None and item.draft is not None:
                at = rows[item.draft.media]
                about = {"source": source.name, "key": item.key, "file": unit.annotations.name}
                about |= {"severity": WARNING, "video": made.sample.video.path}
                findings += [place | about | warning for warning in self._warnings(made, at)]
                hashes = {
                    "key": hash64(item.key.encode()),
                    "fingerprint": _fingerprint(item.draft, made.sample),
                }
                traces.append(place | hashes | {"media": at})
        if source.outside_spans is Outside.REFUSE:
            self._note_clampable(refused, unit)
        return ChunkFindings(
            records=len(items),
            findings=pa.Table.from_pylist(findings, schema=FINDING_SCHEMA),
            traces=pa.Table.from_pylist(traces, schema=TRACE_SCHEMA),
        )

    def _rows_of(self, drafts: Sequence[Draft], unit: ReadUnit) -> dict[Any, int]:
        media = list({draft.media: None for draft in drafts})
        ids = [name_media(medium, unit.source).id for medium in media]
        return dict(zip(media, self._media.rows(ids).tolist(), strict=True)) if ids else {}

    def _warnings(self, made: FinishedSample, at: int) -> Iterator[dict[str, Any]]:
        """What a person should know about a sample that preparation would keep."""
        sample = made.sample
        yield from self._troubles.get(at, ())
        for irregularity, detail in made.irregular:
            outside_s = made.outside_s if irregularity is Irregularity.SPAN_CLAMPED else None
            yield {"finding": Finding(irregularity), "detail": detail, "outside_s": outside_s}
        targets = [_areas(track) for track in sample.targets]
        empty = [number for number, areas in enumerate(targets) if not any(areas)]
        if empty:
            detail = f"target {empty[0]} has no pixel in any of its {len(targets[empty[0]])} annotated frames"
            yield {"finding": Finding.EMPTY_TARGET, "detail": detail}
        shown = [areas for areas in (*map(_areas, sample.regions), *targets) if any(areas)]
        if blank := sum(areas.count(0) for areas in shown):
            detail = f"{blank} of the {sum(map(len, shown))} masks of its objects are empty"
            yield {"finding": Finding.MASKS_PARTLY_EMPTY, "detail": detail}

    def _note_clampable(self, refused: Sequence[tuple[dict[str, Any], Draft]], unit: ReadUnit) -> None:
        """Add to refused spans how far outside they are, where ``outside_spans: clamp`` would save them."""
        lenient = unit.source.model_copy(update={"outside_spans": Outside.CLAMP})
        finisher = Finisher(lenient, self._media, self._min_frames, self._seed)
        results = finisher.finish_all([draft for _, draft in refused])
        for (row, _), result in zip(refused, results, strict=True):
            # Else the whole span lies outside the video, or something else is wrong as well.
            if isinstance(result, FinishedSample):
                row["outside_s"] = result.outside_s


def _troubles(media: pa.Table) -> dict[int, list[dict[str, Any]]]:
    """What is wrong with media that preparation accepts, by row of INSPECTED_SCHEMA; for most, nothing."""
    if not media.num_rows:  # Arrow crashes on a column without chunks
        return {}
    header, undecodable = media["header_frames"], media["undecodable"]
    shown = pc.struct_field(media["video"], "num_frames")
    other = pc.fill_null(pc.and_(pc.greater(header, 0), pc.not_equal(header, shown)), False)
    out: dict[int, list[dict[str, Any]]] = {}
    for row in pc.indices_nonzero(pc.not_equal(undecodable, "")).to_pylist():
        detail = undecodable[row].as_py()
        out.setdefault(row, []).append({"finding": Finding.MEDIA_UNDECODABLE, "detail": detail})
    for row in pc.indices_nonzero(other).to_pylist():
        video = media["video"][row].as_py()
        detail = f"{video['path']}: its header says {header[row]} frames, {video['num_frames']} are shown"
        out.setdefault(row, []).append({"finding": Finding.HEADER_FRAMES, "detail": detail})
    return out


def _rejected(unit: ReadUnit, item: ReadItem, error: RejectError) -> dict[str, Any]:
    lookup = reject(unit, item, error)
    video = item.draft.media.candidates[0] if item.draft is not None else ""
    return {
        "source": unit.source.name,
        "key": lookup.key,
        "file": lookup.file,
        "finding": lookup.reason,
        "severity": REJECT,
        "detail": lookup.detail,
        "video": video,
    }


def _areas(track: MaskTrack) -> list[int]:
    return [masks.area(counts, track.height, track.width) for counts in track.counts]


def _fingerprint(draft: Draft, sample: Sample) -> int:
    """A hash of a sample's content: two samples with the same hash are duplicates.

    A bare expression counts without the question and the answer around it, which are drawn from templates.
    Targets do not count: one expression with two targets is a contradiction, not a second sample. Regions
    count as the source wrote them, because which frame of a region is kept depends on the key.
    """
    # Asking when something happens is not the same as asking what happens then.
    times = (sample.spans, sample.question_spans, sample.instants)
    spans = [[[s.start_bin, s.end_bin] for s in part] for part in times]
    words = [sample.expression] if sample.expression else [[t.role, t.text] for t in sample.turns]
    regions = [track.masks for track in draft.regions]
    clip = [sample.clip.start_s, sample.clip.end_s] if sample.clip else []
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    shown = [sample.video.sha256, sample.video.frames, clip, regions, words, spans]
    return hash64(orjson.dumps(shown, default=repr, option=options))


def hash64(content: bytes) -> int:
    """Eight bytes of SHA-256 as a number: among ten million inputs a collision is very unlikely."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
