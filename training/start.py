"""The first checkpoint: a tokenizer, and weights at random or from published files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.data import Use
from pipeline.config.model import ModelConfig
from pipeline.config.plan import Plan
from pipeline.config.training import Part
from pipeline.storage import Location

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.data.dataset import Dataset
    from training.model.ufvideo import UFVideo


def make_tokenizer(plan: Plan, data: Location | None) -> PreTrainedTokenizerBase:
    """The plan's tokenizer folder, or a byte-level BPE trained on the text of its training sources."""
    from training.model.tokenizer import load_tokenizer, train_tokenizer

    if plan.model.tokenizer.path:
        folder = Location.parse(plan.model.tokenizer.path, plan.storage.cache).fetch_dir()
        return load_tokenizer(folder)
    assert data is not None, "a tokenizer that is trained here needs the prepared data"
    from training.data.dataset import Dataset

    return train_tokenizer(_texts(plan, Dataset.open(data)), vocab_size=plan.model.tokenizer.vocab_size)


def make_model(plan: Plan, tokenizer: PreTrainedTokenizerBase) -> UFVideo:
    """The plan's model at random from its seed, then filled from whatever weights the plan names.

    Its vocabulary is the tokenizer's, to the token, as in the published model.
    """
    from training.model.build import build_model
    from training.model.tokens import TokenIds
    from training.model.weights import load_published

    model = build_model(sized(plan.model.resolved, len(tokenizer)), TokenIds.of(tokenizer), seed=plan.seed)
    weights = plan.model.weights
    parts = (
        (weights.whole, None),
        (weights.language, Part.LANGUAGE),
        (weights.connector, Part.CONNECTOR),
        (weights.regions, Part.REGIONS),
        (weights.vision, Part.VISION),
        (weights.sam2, Part.SAM_ENCODER),
    )
    for path, part in parts:
        if path:
            load_published(model, _fetched(path, plan.storage.cache), part=part, resize_vocabulary=True)
    return model


def sized(config: ModelConfig, vocabulary: int) -> ModelConfig:
    """A configuration with one embedding row per token."""
    return config.model_copy(
        update={"language": config.language.model_copy(update={"vocab_size": vocabulary})}
    )


def _texts(plan: Plan, dataset: Dataset) -> Iterator[str]:
    """Every turn of every training sample, in the order of the shards."""
    for source in sorted(s.name for s in plan.data.sources if s.use is Use.TRAIN):
        for row in range(dataset.size(source)):
            for turn in dataset.sample(source, row).turns:
                yield turn.text


def _fetched(path: str, cache: str | None) -> Path:
    place = Location.parse(path, cache)
    return place.fetch_dir() if place.is_dir() else place.fetch()
