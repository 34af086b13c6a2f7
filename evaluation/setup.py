"""What the processes of one evaluation share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.answer_store import AnswerStore
from evaluation.checkpoint import ScoredCheckpoint
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig
from pipeline.storage.location import Location


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
