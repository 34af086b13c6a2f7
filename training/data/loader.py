"""One worker's micro-batches, prefetched by threads and yielded in the order of ``Order``."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from pipeline.draw import draw
from pipeline.errors import StorageError, UserError
from pipeline.media.video import VideoError
from pipeline.records.sample import Sample, Task
from training.data.order import BatchSplit, Order, Visit
from training.data.reading import Reading, SampleReader, Tries
from training.data.unusable import Budget, QuarantinedVisit
from training.data.waiting import TimedThreads, Waiting
from training.model.batch import Batch
from training.model.collate import collate
from training.model.processor import Example, FrameProvider, Processor
from training.model.prompt import RefusedSample

MAX_SUBSTITUTES: Final = 8
"""How many other samples are tried in place of one that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """The samples of one forward pass."""

    batch: Batch
    keys: tuple[str, ...]
    tasks: Counter[Task]
    truncated: int  # samples whose conversation was truncated
    blank_regions: int  # regions that cover no patch
    quarantined: tuple[QuarantinedVisit, ...]
    repeated_reads: int  # reads that failed and were repeated


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One visit, ready for the model."""

    sample: Sample
    example: Example
    quarantined: tuple[QuarantinedVisit, ...]
    repeated_reads: int


class Loader:
    """Iterates over the micro-batches of one worker from ``start_step`` to ``stop_step``.

    A sample that cannot be used (its video does not decode, its text is refused) is replaced by another of
    the same source and within its cap, chosen by a hash of (seed, key, epoch, attempt): the same one on every
    machine and after every restart. Each replacement is reported in ``MicroBatch.quarantined``. A read that
    fails is repeated for ``retry_s`` seconds, each time with a line to ``say``, and then ends the worker with
    StorageError: it is never a reason for a substitute (``training.data.reading``). A read that does not come
    back within ``limit_s`` seconds is begun once more, and then ends the worker, too.
    """

    def __init__(
        self,
        *,
        order: Order,
        split: BatchSplit,
        worker: int,
        reader: SampleReader,
        processor: Processor,
        frames: FrameProvider,
        threads: int,
        start_step: int,
        stop_step: int,
        retry_s: float,
        limit_s: float = math.inf,
        max_unusable: Mapping[str, float] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._order, self._split, self._worker = order, split, worker
        self._reading = Reading(reader, retry_s=retry_s, say=say)
        self._limit_s, self._say = limit_s, say
        self._processor, self._frames = processor, frames
        self._threads, self._start, self._stop = threads, start_step, stop_step
        self._budget = Budget(worker, max_unusable or {})
        self._used = cache(order.mixture.used)

    def __iter__(self) -> Iterator[MicroBatch]:
        micro = self._order.micro_batches(
            self._split, self._worker, start_step=self._start, stop_step=self._stop
        )
        # Deep enough to hide one slow video, shallow enough to bound memory.
        depth = max(2, -(-2 * self._threads // self._split.micro_batch))
        pending: deque[list[Waiting[Visit, _Prepared]]] = deque()
        readers = TimedThreads(self._prepare, self._threads, limit_s=self._limit_s, say=self._say)
        try:
            for visits in micro:
                pending.append([readers.begin(visit) for visit in visits])
                if len(pending) > depth:
                    yield self._collect([readers.result(one) for one in pending.popleft()])
            while pending:
                yield self._collect([readers.result(one) for one in pending.popleft()])
        finally:
            self._reading.close()
            readers.close()

    def _collect(self, done: Sequence[_Prepared]) -> MicroBatch:
        bad = tuple(q for one in done for q in one.quarantined)
        self._budget.count((one.sample.dataset for one in done), bad)
        return MicroBatch(
            batch=collate([one.example for one in done], pad_id=self._processor.codec.ids.pad),
            keys=tuple(one.example.key for one in done),
            tasks=Counter(one.sample.task for one in done),
            truncated=sum(one.example.truncated > 0 for one in done),
            blank_regions=sum(one.example.blank_regions for one in done),
            quarantined=bad,
            repeated_reads=sum(one.repeated_reads for one in done),
        )

    def _prepare(self, visit: Visit, tries: Tries) -> _Prepared:
        source = self._order.mixture.sources[visit.source]
        first = self._reading.row(source.name, visit.row, tries)
        sample, failed = first, list[tuple[str, str]]()
        for attempt in range(1, MAX_SUBSTITUTES + 2):
            try:
                make = partial(self._processor.training, sample, self._frames, epoch=visit.epoch)
                example = self._reading.media(sample, make, tries)
                quarantined = tuple(
                    QuarantinedVisit(
                        source=source.name, key=key, epoch=visit.epoch, reason=reason, substitute=sample.key
                    )
                    for key, reason in failed
                )
                return _Prepared(sample, example, quarantined, tries.failed)
            except StorageError:
                raise  # nothing is known about the sample
            except (VideoError, RefusedSample, UserError, ValueError, IndexError) as error:
                failed.append((sample.key, f"{type(error).__name__}: {error}"))
            rows = self._used(visit.source)
            at = draw(self._order.mixture.seed, first.key, visit.epoch, attempt) % len(rows)
            sample = self._reading.row(source.name, int(rows[at]), tries)
        raise UserError(
            f"source {source.name}",
            f"{len(failed)} samples in a row could not be used, the first {failed[0][0]}: {failed[0][1]}.",
            "Check that its media are what they were when the data was prepared.",
        )
