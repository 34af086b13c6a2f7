"""One job: consecutive chunks of a source -> one shard, and a receipt of what became of every record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from datasets_prep.draft import Reason, RejectError
from datasets_prep.passes.bake import Baker
from datasets_prep.passes.chunks import PlannedChunk, ReadUnit
from datasets_prep.passes.dialogue_columns import DialogueColumns, Numbered, has_dialogues, part, rows
from datasets_prep.passes.finish import Finisher
from datasets_prep.passes.read import ReadItem, plain_detail, read_records, records_of
from datasets_prep.passes.select import ALL, rank
from pipeline.dataset.arrow import to_table
from pipeline.dataset.baked import frames_name
from pipeline.dataset.manifest import ShardEntry, has_bytes_of, shard_name
from pipeline.dataset.writer import write_shard
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import Sample
from pipeline.storage.location import Location

WORK = "work"  # folder of the receipts; deleted once the manifest is written


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """What one task reads and writes. A receipt with the same ``identity`` is of the same job."""

    source: str
    number: int
    chunks: tuple[PlannedChunk, ...]
    cut: int = ALL  # samples with larger ranks are not selected
    identity: str = ""


class Reject(BaseModel):
    """A record that did not become a sample."""

    model_config = ConfigDict(frozen=True)
    key: str
    reason: str
    detail: str
    file: str


class IrregularSample(BaseModel):
    """A sample and one of its irregularities."""

    model_config = ConfigDict(frozen=True)
    key: str
    irregularity: Irregularity
    detail: str
    file: str


class Receipt(BaseModel):
    """The result of a job. Written after its shard."""

    model_config = ConfigDict(frozen=True)
    identity: str
    source: str
    number: int
    shard: ShardEntry | None  # None: no sample was kept
    read: int
    not_selected: int
    irregular: tuple[IrregularSample, ...]
    rejects: tuple[Reject, ...]

    @property
    def reasons(self) -> Counter[str]:
        """Number of rejects by reason."""
        return Counter(r.reason for r in self.rejects)

    @property
    def irregularities(self) -> Counter[str]:
        """Number of samples by irregularity."""
        return Counter(str(i.irregularity) for i in self.irregular)


def run_job(
    job: ShardJob,
    units: Sequence[ReadUnit],
    finisher: Finisher,
    out: Location,
    seed: int,
    baker: Baker | None = None,
) -> Receipt:
    """Write the baked frames of its samples, if any, then the shard, then the receipt."""
    samples: list[Sample] = []
    origins: list[_SampleOrigin] = []
    irregular: list[_IrregularEntry] = []
    rejects: list[Reject] = []
    tables: list[pa.Table] = []
    read = not_selected = 0

    def selected(key: str) -> bool:
        return job.cut == ALL or rank(seed, key) <= job.cut

    for at, planned in enumerate(job.chunks):
        unit, first = units[planned.unit], len(samples)
        records: Iterable[Numbered] = enumerate(records_of(unit, planned.chunk), planned.chunk.first)
        words = DialogueColumns()
        by_column = baker is None and has_dialogues(unit.source)
        if by_column:
            words, records = part(records, unit.source, selected, finisher.videos)
        items = list(read_records(unit, records, seed))
        for record, key, row in zip(words.numbers, words.keys, words.videos, strict=True):
            irregular += _irregular_entries(
                (at, record), None, key, unit.annotations.name, finisher.irregular(row)
            )
        read += len(words.keys) + words.not_selected + len(items)
        not_selected += words.not_selected
        for item in items:
            if item.draft is not None and not selected(item.key):
                item.draft, item.left_out = None, True
        results = finisher.finish_all([item.draft for item in items if item.draft is not None])
        for item in items:
            error = item.error
            if item.draft is not None:
                finished = next(results)
                if isinstance(finished, RejectError):
                    error = finished
                else:
                    irregular += _irregular_entries(
                        (at, item.record), len(samples), item.key, unit.annotations.name, finished.irregular
                    )
                    samples.append(finished.sample)
                    origins.append(_SampleOrigin(item.record, unit.annotations.name, len(rejects)))
            if error is not None:
                rejects.append(reject(unit, item, error))
            not_selected += item.left_out
        if baker is None:
            numbers = [origin.record for origin in origins[first:]]
            made = samples[first:]
            tables.append(
                rows(job.source, words, finisher.column, made, numbers) if by_column else to_table(made)
            )
    name = shard_name(job.source, job.number)
    frames = None
    if baker is not None and samples:
        baked = baker.write(samples, out, name)
        irregular = [item for item in irregular if item.sample not in baked.failed]
        rejects = _with_failed(rejects, samples, origins, baked.failed)
        samples = [sample for at, sample in enumerate(samples) if at not in baked.failed]
        frames = baked.frames
        tables = [to_table(samples)]
    table = pa.concat_tables(tables or [to_table([])])
    if len(table):
        shard = write_shard(out, job.source, job.number, table)
        shard = shard.model_copy(update={"frames": frames})
    else:
        shard = None
        (out / name).delete()
        (out / frames_name(name)).delete()
    receipt = Receipt(
        identity=job.identity,
        source=job.source,
        number=job.number,
        shard=shard,
        read=read,
        not_selected=not_selected,
        irregular=tuple(item.row for item in sorted(irregular, key=lambda item: item.place)),
        rejects=tuple(rejects),
    )
    _receipt(out, job).write_text(receipt.model_dump_json())
    return receipt


def finished_before(job: ShardJob, out: Location) -> Receipt | None:
    """The receipt of an earlier, killed attempt, if its shard is intact and of the same job.

    A job without an identity (its inputs have no digest) is done again.
    """
    if not job.identity:
        return None
    try:
        receipt = Receipt.model_validate_json(_receipt(out, job).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    if receipt.identity != job.identity:
        return None
    if receipt.shard is not None and not all(has_bytes_of(file, out) for file in receipt.shard.files):
        return None
    return receipt


def reject(unit: ReadUnit, item: ReadItem, error: RejectError) -> Reject:
    """The entry in the table of rejects for a record that did not become a sample."""
    file, detail = unit.annotations.name, plain_detail(error)
    if error.reason is Reason.UNFORESEEN:  # a person will have to look at it, so say where it is
        detail = f"record {item.record} of {file}: {detail}"
    return Reject(key=item.key, reason=str(error.reason), detail=detail, file=file)


class _SampleOrigin(NamedTuple):
    """Where a sample comes from, in case it has to be rejected later."""

    record: int
    file: str
    rejects_before: int


class _IrregularEntry(NamedTuple):
    """An irregularity with its chunk and record, and its sample's position, if it has one."""

    place: tuple[int, int]
    sample: int | None
    row: IrregularSample


def _irregular_entries(
    place: tuple[int, int], sample: int | None, key: str, file: str, found: Sequence[Irregular]
) -> Iterator[_IrregularEntry]:
    for irregularity, detail in found:
        text = detail.encode("utf-8", "replace").decode()
        row = IrregularSample(key=key, irregularity=irregularity, detail=text, file=file)
        yield _IrregularEntry(place, sample, row)


def _with_failed(
    rejects: Sequence[Reject],
    samples: Sequence[Sample],
    origins: Sequence[_SampleOrigin],
    failed: Mapping[int, RejectError],
) -> list[Reject]:
    """The rejects and the samples whose frames do not decode, in the order of the files."""
    out, done = list[Reject](), 0
    for at, error in sorted(failed.items()):
        out += rejects[done : origins[at].rejects_before]
        done = origins[at].rejects_before
        detail, file = plain_detail(error), origins[at].file
        out.append(Reject(key=samples[at].key, reason=str(error.reason), detail=detail, file=file))
    return [*out, *rejects[done:]]


def _receipt(out: Location, job: ShardJob) -> Location:
    return out / WORK / f"{shard_name(job.source, job.number)}.json"
