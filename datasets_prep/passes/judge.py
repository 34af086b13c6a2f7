"""Which candidates of a chunk would become samples, for sources that keep a part of their samples."""

from __future__ import annotations

import pyarrow as pa

from datasets_prep.draft import RejectError
from datasets_prep.passes.bake import Baker
from datasets_prep.passes.chunks import ReadUnit
from datasets_prep.passes.finish import Finisher
from datasets_prep.passes.read import read_chunk
from datasets_prep.passes.selection import VERDICT_SCHEMA, Candidates


def judge(
    piece: Candidates, unit: ReadUnit, finisher: Finisher, seed: int, baker: Baker | None = None
) -> pa.Table:
    """VERDICT_SCHEMA, one row for each candidate.

    Where frames are baked they are decoded here too, to check that they can be: a source that keeps a
    thousand samples then gets a thousand.
    """
    wanted = set(piece.places)
    found = {}
    for item in read_chunk(unit, piece.planned.chunk, seed):
        if item.draft is not None and (item.record, item.part) in wanted:
            found[item.record, item.part] = item.draft
    results = finisher.finish_all([found[place] for place in piece.places])
    samples = {
        place: result.sample
        for place, result in zip(piece.places, results, strict=True)
        if not isinstance(result, RejectError)
    }
    if baker is not None:
        failing = baker.failing(list(samples.values()))
        samples = {p: s for at, (p, s) in enumerate(samples.items()) if at not in failing}
    rows = [
        {"chunk": piece.number, "record": place[0], "part": place[1], "valid": place in samples}
        for place in piece.places
    ]
    return pa.Table.from_pylist(rows, schema=VERDICT_SCHEMA)
