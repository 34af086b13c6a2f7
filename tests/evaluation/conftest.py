"""A clip, and a checkpoint that answers one question about it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from answering_checkpoint import QUESTION, sample_of, write_answering_checkpoint
from tiny_bench import write_dataset

from evaluation import Answer, Checkpoint, load_checkpoint
from evaluation.predict.clip import open_clip


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.mp4 with a red square, and checkpoint/, which answers QUESTION about it with a mask and a span."""
    root = tmp_path_factory.mktemp("ask")
    write_dataset(root)
    shutil.move(root / "media" / "good.mp4", root / "clip.mp4")
    clip = open_clip(root / "clip.mp4")
    write_answering_checkpoint(root / "checkpoint", sample_of(clip), clip.footage)
    return root


@pytest.fixture(scope="session")
def model(home: Path) -> Checkpoint:
    return load_checkpoint(home / "checkpoint", device="cpu", max_new_tokens=8)


@pytest.fixture(scope="session")
def answer(home: Path, model: Checkpoint) -> Answer:
    return model.ask(home / "clip.mp4", QUESTION)
