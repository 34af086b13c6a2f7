"""The tiny corpus, prepared once, and the toy model's first checkpoint."""

from __future__ import annotations

import pytest
from tiny_corpus import write_dataset

from pipeline.plan.presets import model_config
from pipeline.storage.location import Location


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Location:
    """The prepared dataset."""
    return write_dataset(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def start(prepared: Location, tmp_path_factory: pytest.TempPathFactory) -> Location:
    """The toy model's first checkpoint."""
    from training.data.dataset import Dataset
    from training.model.build import build_model
    from training.model.tokenizer import train_tokenizer
    from training.model.tokens import TokenIds
    from training.stage.checkpoint import write_checkpoint
    from training.stage.start import with_vocabulary

    dataset = Dataset.open(prepared)
    texts = [
        t.text
        for s in dataset.reader.sources
        for r in range(dataset.size(s))
        for t in dataset.sample(s, r).turns
    ]
    tokenizer = train_tokenizer(texts, vocab_size=400)
    config = with_vocabulary(model_config("toy"), len(tokenizer))
    out = Location.parse(tmp_path_factory.mktemp("start"))
    write_checkpoint(
        build_model(config, TokenIds.of(tokenizer), seed=1),
        tokenizer,
        out,
        tmp_path_factory.mktemp("scratch"),
    )
    return out
