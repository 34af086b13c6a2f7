"""A toy model and batches that are built by hand, without tokenizer or data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pipeline.plan.model import ModelConfig
from pipeline.plan.presets import model_config
from training.model.batch import Batch
from training.model.build import build_model
from training.model.golden import GoldenCase, golden_model, read_case
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

MakeBatch = Callable[[list[list[int]], list[list[int]]], Batch]
TOKENS = TokenIds(region=50, seg=51, eos=(2,), pad=0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_config() -> ModelConfig:
    return model_config("toy", {"language": {"vocab_size": 60}, "num_frames": 2})


@pytest.fixture(scope="session")
def toy(toy_config: ModelConfig) -> UFVideo:
    """Shared and never trained; a test that changes weights takes its own."""
    return build_model(toy_config, TOKENS, seed=5).eval()


@pytest.fixture(scope="session")
def golden_case(golden) -> GoldenCase:
    return read_case(golden / "ufvideo-tiny")


@pytest.fixture(scope="session")
def reference(golden_case: GoldenCase) -> UFVideo:
    return golden_model(golden_case)


@pytest.fixture(scope="session")
def tokens() -> TokenIds:
    return TOKENS


@pytest.fixture(scope="session")
def text_batch(toy_config: ModelConfig) -> MakeBatch:
    """A function that builds batches from ids of prompts and of answers; the answers alone carry the loss."""
    return lambda rows, answers: _text_batch(toy_config, rows, answers)


def _text_batch(config: ModelConfig, prompts: list[list[int]], answers: list[list[int]]) -> Batch:
    """Right-padded rows with videos that differ, and no regions or masks."""
    full = [torch.tensor(p + a) for p, a in zip(prompts, answers, strict=True)]
    longest = max(map(len, full))
    ids = torch.full((len(full), longest), TOKENS.pad)
    labels = torch.full_like(ids, -100)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for i, (row, start) in enumerate(zip(full, prompts, strict=True)):
        ids[i, : len(row)] = row
        labels[i, len(start) : len(row)] = row[len(start) :]
        mask[i, : len(row)] = True
    side = config.vision.image_size
    generator = torch.Generator().manual_seed(11)
    video = torch.randn(len(full), config.num_frames, 3, side, side, generator=generator)
    return Batch(input_ids=ids, labels=labels, attention_mask=mask, video=video)
