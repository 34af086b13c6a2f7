"""Which candidates of a chunk would become samples, for sources that keep a part of theirs."""

from __future__ import annotations

import pyarrow as pa

from datasets_prep.draft import RejectError
from datasets_prep.stages.choose import VERDICT_SCHEMA, Candidates
from datasets_prep.stages.job import Finisher
from datasets_prep.stages.read import read_chunk
from datasets_prep.stages.units import ReadUnit


def judge(piece: Candidates, unit: ReadUnit, finisher: Finisher, seed: int) -> pa.Table:
    """VERDICT_SCHEMA, one row for each candidate."""
    wanted = set(piece.places)
    found = {}
    for item in read_chunk(unit, piece.planned.chunk, seed):
        if item.draft is not None and (item.record, item.part) in wanted:
            found[item.record, item.part] = item.draft
    finisher.expect(found.values())
    rows = []
    for place in piece.places:
        try:
            finisher(found[place])
            valid = True
        except RejectError:
            valid = False
        rows.append({"chunk": piece.number, "record": place[0], "part": place[1], "valid": valid})
    return pa.Table.from_pylist(rows, schema=VERDICT_SCHEMA)
