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

# The columns that training needs. The others are for scoring and for people, and are not read.
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
        """Open a dataset for a model that takes ``num_frames`` per video; ``verify`` as for ``ShardReader``.

        Raises UserError if there is no dataset, if it has another schema version, or if its frames were baked
        for another number of frames.
        """
        reader = ShardReader(location, COLUMNS, verify)
        if num_frames is not None:
            reader.refuse_other_frames(num_frames)
        return cls(reader)

    def order(self, stage: StageConfig, seed: int) -> Order:
        """The stage's stream of samples, never with those of benchmarks.

        Raises UserError if the mixture names an unknown source, or one without samples.
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
                f"{(self.reader.location / REJECTS).uri} says why its records were rejected; correct them or "
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
