"""Plans the selection: which media are probed, and the cut of each source (the largest selected rank).

For a source that keeps all its samples, all media are probed. For a source that keeps a part, samples are
examined in the order of their ranks until enough of them are valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets_prep.passes.chunks import PlannedChunk, ReadUnit
from datasets_prep.passes.media_table import MediaTable, media_table
from datasets_prep.passes.select import ALL, CutSearch
from datasets_prep.passes.survey import SURVEY_SCHEMA
from pipeline.plan.data import SourceConfig

VERDICT_SCHEMA = pa.schema(
    [("chunk", pa.int32()), ("record", pa.int64()), ("part", pa.int32()), ("valid", pa.bool_())]
)


_NAMED_SCHEMA = pa.schema([("source", pa.int64()), ("media_id", pa.binary(16)), ("media", pa.string())])
_DRAFTS_SCHEMA = pa.schema([f for f in SURVEY_SCHEMA if f.name != "media"])
_WAITING = 1 << 16  # rows of media that are collected before repeats are dropped


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Results of the survey. By source: its media, and its drafts where it keeps only a part of them."""

    media: pa.Table  # media_id, media; distinct
    ids: Mapping[int, pa.Array]
    drafts: Mapping[int, pa.Table]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Drafts of one chunk to be examined: (record, part) of each."""

    number: int
    planned: PlannedChunk
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class SelectionPlan:
    """Everything that is decided before a shard is written."""

    media: MediaTable
    cuts: Mapping[str, int]
    chosen: Mapping[int, int]  # number of drafts with a rank within the cut, by chunk
    used: Mapping[str, Sequence[bytes]]  # ids of the media that samples and rejects name, by source


def collect(tables: Iterable[pa.Table], chunks: Sequence[PlannedChunk], units: Sequence[ReadUnit]) -> Survey:
    """Combine the survey's tables. Chunks name the same media, so repeats are dropped as tables arrive."""
    source_of_chunk = np.array([units[p.unit].source_index for p in chunks], np.int64)
    present = set(source_of_chunk.tolist())
    partial = present & {u.source_index for u in units if u.source.select.count is not None}
    media, waiting = _NAMED_SCHEMA.empty_table(), [_NAMED_SCHEMA.empty_table()]
    found: dict[int, list[pa.Table]] = {index: [_DRAFTS_SCHEMA.empty_table()] for index in partial}
    for table in tables:
        source_N = source_of_chunk[table["chunk"].to_numpy()]
        names_N = table["record"].to_numpy() < 0
        of_media = table.select(["media_id", "media"]).add_column(0, "source", pa.array(source_N))
        waiting.append(of_media.filter(pa.array(names_N)))
        if sum(len(t) for t in waiting) > max(_WAITING, len(media)):
            media, waiting = _distinct([media, *waiting]), []
        for index in partial.intersection(source_N.tolist()):
            own = table.filter(pa.array((source_N == index) & ~names_N))
            found[index].append(own.select(_DRAFTS_SCHEMA.names))
    media = _distinct([media, *waiting])
    each = media.group_by("media_id").aggregate([("media", "min")])
    # Tables arrive in any order; the order of equal ranks must not depend on it.
    order: Any = [(name, "ascending") for name in ("chunk", "record", "part")]
    return Survey(
        media=each.rename_columns(["media_id", "media"]),
        ids={i: media.filter(pc.equal(media["source"], i))["media_id"].combine_chunks() for i in present},
        drafts={index: pa.concat_tables(parts).sort_by(order) for index, parts in found.items()},
    )


def _distinct(tables: Sequence[pa.Table]) -> pa.Table:
    rows = pa.concat_tables(tables).group_by(["source", "media_id"]).aggregate([("media", "min")])
    return rows.rename_columns(_NAMED_SCHEMA.names)


def plan_selection(
    sources: Sequence[SourceConfig],
    survey: Survey,
    chunks: Sequence[PlannedChunk],
    probe: Callable[[pa.Table], Sequence[pa.Table]],
    examine: Callable[[Sequence[Candidates], MediaTable], Iterable[pa.Table]],
) -> SelectionPlan:
    """Probe media and examine candidates until every cut is known.

    ``probe`` makes MEDIA_SCHEMA tables of rows of ``survey.media``. ``examine`` makes VERDICT_SCHEMA tables:
    whether each candidate would become a sample.
    """
    searches = {
        index: CutSearch(drafts["rank"].to_numpy(), sources[index].select.count or 0)
        for index, drafts in survey.drafts.items()
    }
    media, known = media_table(), pa.array([], pa.binary(16))
    pending = [i for index, ids in survey.ids.items() if index not in searches for i in _chunks_of(ids)]
    while True:
        requested = {index: search.next() for index, search in searches.items()}
        for index, rows in requested.items():
            pending += _chunks_of(survey.drafts[index]["media_id"].take(pa.array(rows)))
        ids = pc.unique(pa.chunked_array(pending, pa.binary(16)))
        ids = ids.filter(pc.invert(pc.is_in(ids, known)))
        if len(ids):
            media = media.with_rows(probe(survey.media.filter(pc.is_in(survey.media["media_id"], ids))))
            known = pa.concat_arrays([known, ids])
        pending = []
        if not any(len(rows) for rows in requested.values()):
            break
        _examine(requested, searches, survey, chunks, examine, media)
    cuts = {sources[index].name: search.cut for index, search in searches.items()}
    chosen: dict[int, int] = {}
    whole = {index: ids for index, ids in survey.ids.items() if index not in searches}
    used = {sources[index].name: ids.to_pylist() for index, ids in whole.items()}
    for index, drafts in survey.drafts.items():
        cut = cuts[sources[index].name]
        numbers = drafts["chunk"].to_numpy()
        for number in np.unique(numbers):
            chosen[int(number)] = 0
        within = drafts if cut == ALL else drafts.filter(pa.array(_within(drafts["rank"].to_numpy(), cut)))
        for number, count in zip(*np.unique(within["chunk"].to_numpy(), return_counts=True), strict=True):
            chosen[int(number)] = int(count)
        used[sources[index].name] = pc.unique(within["media_id"]).to_pylist()
    return SelectionPlan(media=media, cuts=cuts, chosen=chosen, used=used)


def _examine(
    requested: Mapping[int, np.ndarray],
    searches: Mapping[int, CutSearch],
    survey: Survey,
    chunks: Sequence[PlannedChunk],
    examine: Callable[[Sequence[Candidates], MediaTable], Iterable[pa.Table]],
    media: MediaTable,
) -> None:
    places = {index: _places(survey.drafts[index], rows) for index, rows in requested.items()}
    by_chunk: dict[int, list[tuple[int, int]]] = {}
    for rows in places.values():
        for chunk, record, part in rows:
            by_chunk.setdefault(chunk, []).append((record, part))
    pieces = [
        Candidates(number=n, planned=chunks[n], places=tuple(sorted(found)))
        for n, found in sorted(by_chunk.items())
    ]
    valid = {}
    for table in examine(pieces, media):
        columns = [table[name].to_pylist() for name in VERDICT_SCHEMA.names]
        valid.update({(c, r, p): v for c, r, p, v in zip(*columns, strict=True)})
    for index, rows in places.items():
        searches[index].record(np.array([valid[place] for place in rows], bool))


def _places(drafts: pa.Table, rows: np.ndarray) -> list[tuple[int, int, int]]:
    part = drafts.take(pa.array(rows))
    return list(zip(*(part[name].to_pylist() for name in ("chunk", "record", "part")), strict=True))


def _within(ranks_N: np.ndarray, cut: int) -> np.ndarray:
    return ranks_N <= np.uint64(cut) if cut >= 0 else np.zeros(len(ranks_N), bool)


def _chunks_of(ids: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]
