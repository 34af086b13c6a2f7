"""From findings to a verdict: how many records of each source, what share, and whether the plan allows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from datasets_prep.doctor.check import REJECT
from datasets_prep.doctor.duplicates import Overlap
from datasets_prep.doctor.examine import Examination
from pipeline.plan.data import Use
from pipeline.plan.doctor import Finding
from pipeline.plan.plan import Plan

EXAMPLES = 3
OVERLAPS = 200  # on the page; findings.parquet has all


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Example(_Frozen):
    """One record with a finding."""

    key: str
    file: str
    video: str
    detail: str


class Outside(_Frozen):
    """Times outside their video that clamping saves or would save: how many records, how far outside."""

    records: int
    median_s: float
    max_s: float


class FindingRow(_Frozen):
    """One finding in one source. ``share`` is of all its records; more than ``tolerance`` is too much."""

    finding: Finding
    rejects: bool  # whether preparation rejects these records, or some of them
    count: int
    videos: int  # different videos that these records name
    share: float
    tolerance: float
    outside: Outside | None
    examples: tuple[Example, ...]

    @property
    def ok(self) -> bool:
        """Whether the plan tolerates it."""
        return self.share <= self.tolerance


class Source(_Frozen):
    """One source. ``problem``: why preparation would refuse it as a whole, if it would."""

    name: str
    use: Use
    records: int
    samples: int
    videos: int
    rejected: int
    problem: str
    rows: tuple[FindingRow, ...]

    @property
    def ok(self) -> bool:
        """Whether the plan tolerates all of it."""
        return not self.problem and all(row.ok for row in self.rows)


class Summary(_Frozen):
    """Everything that the table and the page show."""

    plan: str
    seed: int
    decode_frames: int
    ok: bool
    sources: tuple[Source, ...]
    overlaps: tuple[Overlap, ...]
    overlaps_in_all: int

    @property
    def over(self) -> int:
        """How many findings are too much; a source that would be refused as a whole counts as one."""
        return sum(bool(s.problem) + sum(not row.ok for row in s.rows) for s in self.sources)


def summarise(plan: Plan, found: Examination) -> Summary:
    """Judge the findings by the plan's tolerances."""
    rows: dict[str, list[FindingRow]] = {source.name: [] for source in plan.data.sources}
    rejected = dict.fromkeys(rows, 0)
    for name, part in _groups(found.findings):
        rows[name].append(_row(plan, part, found.records[name]))
        rejected[name] += pc.sum(pc.equal(part["severity"], REJECT)).as_py()
    sources = []
    for config in plan.data.sources:
        name = config.name
        records, samples = found.records[name], found.samples[name]
        share = rejected[name] / records if records else 0.0
        problem = ""
        if not samples:
            problem = f"none of its {records} records would become a sample"
        elif share > plan.data.max_reject_share:
            allowed = plan.data.max_reject_share
            problem = f"{share:.1%} would be rejected, data.max_reject_share allows {allowed:.1%}"
        sources.append(
            Source(
                name=name,
                use=config.use,
                records=records,
                samples=samples,
                videos=found.videos[name],
                rejected=rejected[name],
                problem=problem,
                rows=tuple(sorted(rows[name], key=lambda r: (r.ok, r.tolerance >= 1, -r.count, r.finding))),
            )
        )
    return Summary(
        plan=plan.name,
        seed=plan.seed,
        decode_frames=plan.doctor.decode_frames,
        ok=all(source.ok for source in sources),
        sources=tuple(sources),
        overlaps=tuple(found.overlaps[:OVERLAPS]),
        overlaps_in_all=len(found.overlaps),
    )


def _row(plan: Plan, part: pa.Table, records: int) -> FindingRow:
    finding = Finding(part["finding"][0].as_py())
    distances = part["outside_s"].drop_null().to_pylist()
    return FindingRow(
        finding=finding,
        rejects=pc.any(pc.equal(part["severity"], REJECT)).as_py(),
        count=part.num_rows,
        videos=pc.count_distinct(part["video"].filter(pc.not_equal(part["video"], ""))).as_py(),
        share=part.num_rows / records,
        tolerance=plan.doctor.tolerance_of(finding),
        outside=Outside(records=len(distances), median_s=median(distances), max_s=max(distances))
        if distances
        else None,
        examples=tuple(_examples(part)),
    )


def _examples(part: pa.Table) -> Iterator[Example]:
    """The first records, of different videos where there are several."""
    seen: Sequence[str] = part["video"].to_pylist()
    first = list({video: at for at, video in reversed(list(enumerate(seen)))}.values())[::-1]
    chosen = sorted(first)[:EXAMPLES]
    chosen += [at for at in range(part.num_rows) if at not in chosen][: EXAMPLES - len(chosen)]
    for at in sorted(chosen):
        yield Example(**{name: part[name][at].as_py() for name in Example.model_fields})


def _groups(findings: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each source and finding, in order."""
    if not findings.num_rows:
        return
    both = pc.binary_join_element_wise(findings["source"], findings["finding"], "\0").combine_chunks()
    code_N = pc.dictionary_encode(both).indices.to_numpy()
    order_N = np.argsort(code_N, kind="stable")
    for group in np.split(order_N, np.flatnonzero(np.diff(code_N[order_N])) + 1):
        part = findings.take(pa.array(group))
        yield part["source"][0].as_py(), part
