"""The order of samples: a pure function of (seed, epoch, mixture), independent of how the work is divided.

The epochs' permutations are concatenated to one endless stream; global batch ``b`` is the stream's
positions ``b * global_batch`` to ``(b + 1) * global_batch - 1``, so a batch may contain the end of one epoch
and the start of the next. A stage of E epochs takes as many whole batches as are needed to visit all of its
samples: the last batch is completed from the following epoch, and no sample is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.draw import mix_draws
from pipeline.errors import UserError
from training.data.mixture import Mixture


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of one sample."""

    source: int  # index in the mixture's sources
    row: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass of one worker."""

    slots: range
    """Of the global batch; at most ``micro_batch``."""
    divisor: float
    """What the pass's loss is divided by before its gradient is added to the worker's, whose mean over all
    workers is the gradient of the step. Infinite for a pass that only keeps step with other workers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSplit:
    """How a global batch is divided into workers and forward passes.

    Any number of workers can share it: some then have one sample more than others, and a pass counts by its
    samples. The slots of each pass of all workers are consecutive.
    """

    global_batch: int
    workers: int
    micro_batch: int

    def __post_init__(self) -> None:
        if self.global_batch < self.workers:
            raise ValueError(f"{self.workers} workers cannot share {self.global_batch} samples")

    @property
    def accumulation(self) -> int:
        """Forward passes of the workers with the most samples, per optimizer step."""
        return -(-self.global_batch // (self.workers * self.micro_batch))

    def passes(self, worker: int) -> list[Pass]:
        """The passes of one worker: as many for all, which ZeRO-3 needs to run in step.

        A worker that has fewer samples than passes sees its last sample again, with a divisor of infinity.
        """
        sizes = [self._sizes(w) for w in range(self.workers)]
        begin, own = 0, list[Pass]()
        for turn in zip(*sizes, strict=True):
            first = begin + sum(turn[:worker])
            if size := turn[worker]:
                divisor = self.global_batch / (size * self.workers)
                own.append(Pass(range(first, first + size), divisor))
            else:
                last = own[-1].slots[-1]
                own.append(Pass(range(last, last + 1), math.inf))
            begin += sum(turn)
        return own

    def _sizes(self, worker: int) -> list[int]:
        """The samples of each pass of a worker."""
        share = _nearly_equal(self.global_batch, self.workers)[worker]
        return _nearly_equal(share, self.accumulation)


class Order:
    """The stream of a stage. ``stage``: its name; two stages over the same samples have different batches."""

    def __init__(self, mixture: Mixture, *, global_batch: int, stage: str = "") -> None:
        self.mixture, self.global_batch, self.stage = mixture, global_batch, stage
        # Rounding of a fractional repeat depends only on the count, so every epoch has the same length.
        self.epoch_size = sum(c.realised for c in mixture.counts(0))
        if not self.epoch_size:
            raise UserError(
                "stage mixture", "holds no samples.", "Raise repeat or cap, or check the data's rejects."
            )
        self._epoch = lru_cache(maxsize=2)(self._permutation)

    def steps(self, *, epochs: float | None, steps: int | None) -> int:
        """Optimizer steps of the stage."""
        if steps is not None:
            return steps
        assert epochs is not None
        visits = math.floor(epochs * self.epoch_size + 0.5)
        return max(1, math.ceil(visits / self.global_batch))

    def visit(self, position: int) -> Visit:
        """The visit at a position of the stream."""
        epoch, index = divmod(position, self.epoch_size)
        sources, rows = self._epoch(epoch)
        return Visit(int(sources[index]), int(rows[index]), epoch)

    def batch(self, step: int) -> list[Visit]:
        """Global batch of optimizer step ``step``, in slot order."""
        return [self.visit(step * self.global_batch + slot) for slot in range(self.global_batch)]

    def micro_batches(
        self, split: BatchSplit, worker: int, *, start_step: int, stop_step: int
    ) -> Iterator[list[Visit]]:
        """One worker's micro-batches from a step on, in order."""
        assert split.global_batch == self.global_batch
        passes = split.passes(worker)
        for step in range(start_step, stop_step):
            for one in passes:
                yield [self.visit(step * self.global_batch + slot) for slot in one.slots]

    def _permutation(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources [n] and rows [n] of an epoch, by a hash of (key, source, seed, stage, epoch, visit)."""
        sources, rows, ranks = [], [], []
        for index, source in enumerate(self.mixture.sources):
            chosen = self.mixture.rows(index, epoch)
            visit = _visits(chosen)
            for v in range(int(visit.max(initial=-1)) + 1):
                these = chosen[visit == v]
                sources.append(np.full(len(these), index, np.int32))
                rows.append(these)
                names = (self.mixture.seed, self.stage, source.name, epoch, v, "order")
                ranks.append(mix_draws(source.hashes[these], *names))
        source_all, row_all, rank_all = np.concatenate(sources), np.concatenate(rows), np.concatenate(ranks)
        order = np.lexsort((row_all, source_all, rank_all))
        return source_all[order], row_all[order]


def _nearly_equal(count: int, parts: int) -> list[int]:
    """``count`` in parts that differ by one at most, the larger ones first."""
    size, more = divmod(count, parts)
    return [size + (part < more) for part in range(parts)]


def _visits(rows: np.ndarray) -> np.ndarray:
    """How many times each entry's row has occurred before, [n]."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    new = np.r_[True, ordered[1:] != ordered[:-1]]
    starts = np.flatnonzero(new)
    before = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    visits = np.empty(len(rows), np.int64)
    visits[order] = before
    return visits
