"""The Ray actor that answers questions with one checkpoint, and stores the answers.

It is given several units at a time, each in a thread: while the model answers a batch of one unit, the
batches of the others are decoded. So the model waits only where decoding is slower than answering, and no
more than one batch of each unit is in memory.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evaluation.answer_store import Answered, Stored
from evaluation.prediction import Unreadable
from evaluation.preparing_tasks import PreparingTasks, requests
from evaluation.setup import Setup
from evaluation.work import Item, Unit
from pipeline.dataset.reader import ShardReader
from pipeline.plan.evaluation import Decoding

if TYPE_CHECKING:
    from evaluation.predictor import Predictor
    from evaluation.preparing import Prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitResult:
    """Where the answers of a unit are, by source and name; and the samples whose video cannot be read.

    ``failures`` counts the questions that were not asked, by kind; ``late`` the batches that no task on the
    cluster had prepared in time, so that the actor did.
    """

    stored: Mapping[str, Mapping[tuple[str, str], Stored]]
    unreadable: tuple[Unreadable, ...]
    failures: Mapping[str, int]
    late: int = 0


class Worker:
    """Loads the checkpoint at its first question."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.reader = ShardReader(setup.dataset, verify=setup.verify_videos)
        self._model, self._loading = threading.Lock(), threading.Lock()

    @cached_property
    def predictor(self) -> Predictor:
        """The loaded checkpoint."""
        import torch

        from evaluation.predictor import Predictor

        config = self.setup.config
        if config.torch_threads:
            torch.set_num_threads(config.torch_threads)
        model, tokenizer = self.setup.checkpoint.fetch()
        predictor = Predictor(
            model,
            tokenizer,
            footage=self.reader.footage,
            max_new_tokens=config.max_new_tokens,
            seed=self.setup.seed,
            use_gpu=config.use_gpu,
            seg_state=config.seg_state,
            prompted_frames=config.prompted_frames,
        )
        self.reader.refuse_other_frames(predictor.model.config.num_frames)
        return predictor

    def answer(self, unit: Unit) -> UnitResult:
        """Answer a unit's questions, a batch at a time, and store them: one part for each source.

        Threads may call it at once: they share the model, one batch after another.
        """
        with self._loading:  # threads must not load it twice
            predictor = self.predictor
            if self.setup.config.decoding is Decoding.CLUSTER:
                _ = self.tasks
        answered: dict[str, list[Answered]] = {}
        unreadable: list[Unreadable] = []
        late, size = 0, self.setup.config.batch_size
        for at in range(0, len(unit.items), size):
            items = unit.items[at : at + size]
            prepared, was_late = self._prepare(predictor, items)
            late += was_late
            with self._model:
                made = predictor.complete(prepared)
            for item, one in zip(items, made, strict=True):
                if isinstance(one, Unreadable):
                    unreadable.append(one)
                else:
                    answer = Answered(question=item.question, prediction=one)
                    answered.setdefault(item.source, []).append(answer)
        stored = {source: self.setup.store.write(source, answers) for source, answers in answered.items()}
        failed = (a.prediction.failure for answers in answered.values() for a in answers)
        return UnitResult(
            stored=stored,
            unreadable=tuple(unreadable),
            failures=Counter(reason.partition(":")[0] for reason in failed if reason is not None),
            late=late,
        )

    def _prepare(self, predictor: Predictor, items: Sequence[Item]) -> tuple[Prepared, bool]:
        """A batch as model inputs, and whether the cluster was too late with it."""
        late = False
        if self.setup.config.decoding is Decoding.CLUSTER:
            found = self.tasks.prepare(items)
            if found is not None:
                return found, False
            late = True
        return predictor.preparer.prepare(requests(self.setup, self.reader, items)), late

    @cached_property
    def tasks(self) -> PreparingTasks:
        """The cluster's CPUs, which prepare batches for the model of this actor."""
        return PreparingTasks(self.setup, self.predictor.model.config, self.predictor.codec)
