"""The Ray actor: answers questions with one checkpoint and stores the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evaluation.answer_store import Answered, AnswerStore, Stored
from evaluation.benchmarks import benchmark_of
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.prediction import Unreadable
from evaluation.work import Item, Unit
from pipeline.dataset.reader import ShardReader
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from evaluation.predictor import Predictor, Prepared


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that an actor needs, as plain values, because it is sent to the actor."""

    config: EvaluationConfig
    checkpoint: ScoredCheckpoint
    dataset: Location
    store: AnswerStore
    seed: int
    verify_videos: VerifyVideos = VerifyVideos.HEAD

    @property
    def entries(self) -> Mapping[str, BenchmarkConfig]:
        """Benchmarks by the name of their entry in the plan."""
        return {b.entry: b for b in self.config.benchmarks}


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitResult:
    """Where the answers of a unit are, by source and name; and the samples whose video cannot be read."""

    stored: Mapping[str, Mapping[tuple[str, str], Stored]]
    unreadable: tuple[Unreadable, ...]
    failures: int


class Worker:
    """Loads the checkpoint at its first question."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.reader = ShardReader(setup.dataset, verify=setup.verify_videos)

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

        While the model answers a batch, a thread prepares the next one, and no more: two are in memory.
        """
        answered: dict[str, list[Answered]] = {}
        unreadable: list[Unreadable] = []
        size = self.setup.config.batch_size
        batches = [unit.items[at : at + size] for at in range(0, len(unit.items), size)]
        _ = self.predictor  # loaded here: two threads must not load it twice
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self._prepare, batches[0])
            for items, after in zip(batches, [*batches[1:], None], strict=True):
                prepared = coming.result()
                if after is not None:
                    coming = ahead.submit(self._prepare, after)
                for item, made in zip(items, self.predictor.complete(prepared), strict=True):
                    if isinstance(made, Unreadable):
                        unreadable.append(made)
                    else:
                        answer = Answered(question=item.question, prediction=made)
                        answered.setdefault(item.source, []).append(answer)
        stored = {source: self.setup.store.write(source, answers) for source, answers in answered.items()}
        failures = sum(a.prediction.failure is not None for answers in answered.values() for a in answers)
        return UnitResult(stored=stored, unreadable=tuple(unreadable), failures=failures)

    def _prepare(self, items: Sequence[Item]) -> Prepared:
        from evaluation.predictor import Request

        entries = self.setup.entries
        requests = []
        for item in items:
            config, sample = entries[item.entry], self.reader.sample(item.source, item.row)
            requests.append(
                Request(sample=sample, turns=benchmark_of(config.family).prompt(sample, config.style))
            )
        return self.predictor.prepare(requests)
