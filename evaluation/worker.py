"""The Ray actor: predicts chunks with one checkpoint, and scores chunks from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import Score
from evaluation.prediction_store import PredictionStore
from evaluation.work import Chunk
from pipeline.artifacts.checkpoint import MODEL, TOKENIZER
from pipeline.dataset.reader import ShardReader
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from evaluation.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that an actor needs: plain values, since it is sent to the actor."""

    config: EvaluationConfig
    checkpoint: Location
    checkpoint_digest: str
    dataset: Location
    store: PredictionStore
    seed: int
    verify_videos: VerifyVideos = VerifyVideos.HEAD

    @property
    def benchmarks(self) -> Mapping[str, BenchmarkConfig]:
        """Benchmarks by their source."""
        return {b.source: b for b in self.config.benchmarks}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkResult:
    """The scores of a chunk. ``from_store``: its predictions were there already."""

    scores: tuple[Score, ...]
    from_store: bool


class Worker:
    """Loads the checkpoint at its first prediction: if all predictions are stored, scoring needs no model."""

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
        folder = self.setup.checkpoint.fetch_dir(hold=True)
        predictor = Predictor(
            folder / MODEL,
            folder / TOKENIZER,
            digest=self.setup.checkpoint_digest,
            footage=self.reader.footage,
            max_new_tokens=config.max_new_tokens,
            seed=self.setup.seed,
            use_gpu=config.use_gpu,
            seg_state=config.seg_state,
            prompted_frames=config.prompted_frames,
        )
        self.reader.refuse_other_frames(predictor.model.config.num_frames)
        return predictor

    def evaluate(self, chunk: Chunk) -> ChunkResult:
        """Predict a chunk unless the store has it, then score it from the store."""
        stored = self.setup.store.has(chunk.source, chunk.number, chunk.keys)
        if not stored:
            self.predict(chunk)
        return ChunkResult(scores=tuple(self.score(chunk)), from_store=stored)

    def predict(self, chunk: Chunk) -> None:
        """Predict a chunk and store it as one part."""
        from evaluation.predictor import Request
        from evaluation.spans import SpanRules

        benchmark = self.setup.benchmarks[chunk.source]
        prompt = benchmark_of(benchmark.family).prompt
        samples = [self.reader.sample(chunk.source, row) for row in chunk.rows]
        rules = SpanRules(bare=benchmark.bare_times, outside=benchmark.outside_times)
        requests = [Request(sample=s, turns=prompt(s, benchmark.style), rules=rules) for s in samples]
        size = self.setup.config.batch_size
        predictions = []
        for at in range(0, len(requests), size):
            predictions += self.predictor.predict(requests[at : at + size])
        self.setup.store.write(chunk.source, chunk.number, predictions)

    def score(self, chunk: Chunk) -> list[Score]:
        """Score a chunk from the store and the dataset; nothing else is read."""
        judge = benchmark_of(self.setup.benchmarks[chunk.source].family).score
        predictions = {p.key: p for p in self.setup.store.read(chunk.source, chunk.number)}
        samples = [self.reader.sample(chunk.source, row) for row in chunk.rows]
        return [replace(judge(s, predictions[s.key]), video=s.video.sha256) for s in samples]
