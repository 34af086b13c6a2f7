"""One worker's micro-batches, prefetched by threads and yielded in the order of ``Order``."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final, Protocol

from pipeline.draw import draw
from pipeline.errors import StorageError, UserError
from pipeline.media.video import VideoError
from pipeline.records.sample import Sample, Task
from training.data.order import BatchSplit, Order, Visit
from training.model.batch import Batch
from training.model.collate import collate
from training.model.processor import Example, FrameProvider, Processor
from training.model.prompt import RefusedSample

MAX_SUBSTITUTES: Final = 8
"""How many other samples are tried in place of one that cannot be used."""
FREE_FAILURES: Final = 16
MAX_FAILURE_SHARE: Final = 0.02
"""A stage fails if a worker has more than FREE_FAILURES failures, in more than this share of its visits."""


class SampleReader(Protocol):
    """The loader's access to the shards; called from several threads."""

    def sample(self, source: str, row: int) -> Sample:
        """The sample of a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedVisit:
    """A visit whose sample could not be used, and the sample that replaced it."""

    source: str
    key: str
    epoch: int
    reason: str
    substitute: str

    def row(self) -> dict[str, Any]:
        """As a row of the quarantine table."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """The samples of one forward pass."""

    batch: Batch
    keys: tuple[str, ...]
    tasks: Counter[Task]
    truncated: int  # samples whose conversation was truncated
    blank_regions: int  # regions that cover no patch
    quarantined: tuple[QuarantinedVisit, ...]


_Prepared = tuple[Sample, Example, tuple[QuarantinedVisit, ...]]


class Loader:
    """Iterates over the micro-batches of one worker from ``start_step`` to ``stop_step``.

    A sample that cannot be used (its video does not decode, its text is refused) is replaced by another of
    the same source and within its cap, chosen by a hash of (seed, key, epoch, attempt): the same one on every
    machine and after every restart. Each replacement is reported in ``MicroBatch.quarantined``.
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
    ) -> None:
        self._order, self._split, self._worker = order, split, worker
        self._reader, self._processor, self._frames = reader, processor, frames
        self._threads, self._start, self._stop = threads, start_step, stop_step
        self._visits = self._failures = 0
        self._used = cache(order.mixture.used)

    def __iter__(self) -> Iterator[MicroBatch]:
        micro = self._order.micro_batches(
            self._split, self._worker, start_step=self._start, stop_step=self._stop
        )
        # Deep enough to hide one slow video, shallow enough to bound memory.
        depth = max(2, -(-2 * self._threads // self._split.micro_batch))
        pending: deque[list[Future[_Prepared]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="loader")
        try:
            for visits in micro:
                pending.append([pool.submit(self._prepare, visit) for visit in visits])
                if len(pending) > depth:
                    yield self._collect(pending.popleft())
            while pending:
                yield self._collect(pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _collect(
        self, futures: Sequence[Future[tuple[Sample, Example, tuple[QuarantinedVisit, ...]]]]
    ) -> MicroBatch:
        done = [f.result() for f in futures]
        bad = tuple(q for _, _, quarantined in done for q in quarantined)
        self._visits += len(done)
        self._failures += len(bad)
        if self._failures > max(FREE_FAILURES, MAX_FAILURE_SHARE * self._visits):
            last = bad[-1] if bad else None
            raise UserError(
                f"training data, worker {self._worker}",
                f"{self._failures} of {self._visits} samples could not be used, the last one "
                f"{last.key if last else '?'}: {last.reason if last else '?'}.",
                "Prepare the data again if its videos have changed, or raise max_text_tokens.",
            )
        return MicroBatch(
            batch=collate([example for _, example, _ in done], pad_id=self._processor.codec.ids.pad),
            keys=tuple(example.key for _, example, _ in done),
            tasks=Counter(sample.task for sample, _, _ in done),
            truncated=sum(example.truncated > 0 for _, example, _ in done),
            blank_regions=sum(example.blank_regions for _, example, _ in done),
            quarantined=bad,
        )

    def _prepare(self, visit: Visit) -> _Prepared:
        source = self._order.mixture.sources[visit.source]
        first = self._reader.sample(source.name, visit.row)
        sample, failed = first, list[tuple[str, str]]()
        for attempt in range(1, MAX_SUBSTITUTES + 2):
            try:
                example = self._processor.training(sample, self._frames, epoch=visit.epoch)
                quarantined = tuple(
                    QuarantinedVisit(
                        source=source.name, key=key, epoch=visit.epoch, reason=reason, substitute=sample.key
                    )
                    for key, reason in failed
                )
                return sample, example, quarantined
            except StorageError:
                raise  # storage that does not respond is not a fault of the sample
            except (VideoError, RefusedSample, UserError, ValueError, IndexError, OSError) as error:
                # UserError: its media are missing.
                failed.append((sample.key, f"{type(error).__name__}: {error}"))
            rows = self._used(visit.source)
            at = draw(self._order.mixture.seed, first.key, visit.epoch, attempt) % len(rows)
            sample = self._reader.sample(source.name, int(rows[at]))
        raise UserError(
            f"source {source.name}",
            f"{len(failed)} samples in a row could not be used, the first {failed[0][0]}: {failed[0][1]}.",
            "Check that its media are where they were when the data was prepared.",
        )
