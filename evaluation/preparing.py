"""Questions made ready for a model on the CPU alone: decoded, resized and tokenised, without its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evaluation.frames import Frames
from evaluation.prediction import Prediction, Unreadable
from pipeline.errors import UserError
from pipeline.media.files import VideoError
from pipeline.media.footage import Footage
from pipeline.media.same_video import MissingVideoError, OtherVideoError
from pipeline.plan.model import ModelConfig
from pipeline.records.sample import Sample, Turn
from training.model.processor import Example, Processor, View
from training.model.prompt import PromptCodec

UNREADABLE: Final = (VideoError, IndexError, FileNotFoundError, MissingVideoError, OtherVideoError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A sample and its question. The predictor reads no answer, target mask or span of the sample."""

    sample: Sample
    turns: tuple[Turn, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Requests of one batch, ready for the model, by number; ``results`` has those that need no model.

    It holds no local path, so that a model on another machine can answer it.
    """

    requests: tuple[Request, ...]
    examples: Mapping[int, Example]
    results: Mapping[int, Prediction | Unreadable]


class Preparer:
    """Prepares questions for one model size and tokenizer; several threads may share it.

    ``footage`` gives the frames of a sample's video.
    """

    def __init__(
        self, config: ModelConfig, codec: PromptCodec, *, footage: Callable[[Sample], Footage], seed: int
    ) -> None:
        self.processor = Processor(config, codec, seed=seed)
        self.footage = footage
        self._sides = {view: self.processor.side(view) for view in View}

    def frames(self, footage: Footage) -> Frames:
        """The frames of one video, in the sizes that this model takes."""
        return Frames(footage, self._sides)

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """The requests as model inputs.

        A question that the model cannot be asked is a failed prediction. If a video cannot be read, is gone
        or is not the one that was prepared, its sample is ``Unreadable``. If storage does not respond,
        StorageError is raised, because nothing is known about the video.
        """
        examples: dict[int, Example] = {}
        results: dict[int, Prediction | Unreadable] = {}
        for i, request in enumerate(requests):
            frames = None
            try:
                frames = self.frames(self.footage(request.sample))
                examples[i] = self.processor.inference(request.sample, frames, turns=request.turns)
            except UNREADABLE as error:
                results[i] = unreadable(request.sample, frames, error)
            except ValueError as error:  # no room for the question, or regions that do not fit it
                results[i] = prediction(request.sample, failure=f"cannot be asked: {error}")
        return Prepared(requests=tuple(requests), examples=examples, results=results)


def prediction(sample: Sample, **values: Any) -> Prediction:
    """A prediction for a sample."""
    return Prediction(key=sample.key, source=sample.dataset, **values)


def unreadable(sample: Sample, frames: Frames | None, error: Exception) -> Unreadable:
    """Why a video could not be read, without local paths, so that the reason is the same on every machine."""
    text = f"{error.problem} {error.fix}" if isinstance(error, UserError) else str(error)
    if frames is not None:
        text = text.replace(frames.footage.place, sample.video.path)
    return Unreadable(
        key=sample.key, source=sample.dataset, video=sample.video.path, reason=" ".join(text.split())[:300]
    )
