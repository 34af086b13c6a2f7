"""The prepared dataset as training reads it: samples by source and row, and the frames of their videos."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.dataset.manifest import REJECTS
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.data import Use
from pipeline.plan.training import StageConfig
from pipeline.records.sample import Sample
from pipeline.storage.location import Location
from training.data.mixture import Mixture, SourceRows
from training.data.order import Order

# What a training step looks at. The rest is for scoring and for people, and stays on the disk.
COLUMNS = ("key", "dataset", "task", "video", "turns", "regions", "targets", "clip")


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset. Safe to share between threads."""

    reader: ShardReader

    @classmethod
    def open(
        cls,
        location: Location,
        *,
        num_frames: int | None = None,
        verify: VerifyVideos = VerifyVideos.HEAD,
    ) -> Dataset:
        """For a model that looks at ``num_frames`` of a video; ``verify`` as ``ShardReader`` takes it.

        Raises UserError if there is none, one of another schema version, or one whose frames were baked for
        another number.
        """
        reader = ShardReader(location, COLUMNS, verify)
        if num_frames is not None:
            reader.refuse_other_frames(num_frames)
        return cls(reader)

    def order(self, stage: StageConfig, seed: int) -> Order:
        """The stage's stream of samples. Benchmarks never get into it.

        Raises UserError if the mixture names a source that is not there, or one without a sample.
        """
        training = [n for n in self.reader.sources if self.reader.manifest.source(n).use is Use.TRAIN]
        chosen = [n for n in training if not stage.mixture or n in stage.mixture]
        unknown = sorted(set(stage.mixture) - set(chosen))
        if unknown:
            raise UserError(
                f"stage {stage.name}: mixture",
                f"names {unknown[0]}, which is not a training source of {self.reader.location.uri}.",
                f"It has {', '.join(training)}.",
            )
        if empty := [name for name in chosen if not self.size(name)]:
            raise UserError(
                f"stage {stage.name}: mixture",
                f"takes {', '.join(empty)}, of which {self.reader.location.uri} holds no sample.",
                f"{(self.reader.location / REJECTS).uri} says what became of its records; mend them, or "
                "leave it out of the stage's mixture.",
            )
        rows = [SourceRows.of(name, self.reader.keys(name)) for name in chosen]
        mixture = Mixture.of(rows, stage.mixture, seed)
        return Order(mixture, global_batch=stage.global_batch, stage=stage.name)

    def size(self, source: str) -> int:
        """Number of samples of a source."""
        return self.reader.count(source)

    def sample(self, source: str, row: int) -> Sample:
        """The sample of a row."""
        return self.reader.sample(source, row)
