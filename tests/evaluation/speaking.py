"""A toy checkpoint that says what a test needs to hear: random weights, but for the names of a few tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tiny_bench import write_checkpoint

from evaluation.predict.clip import Clip
from evaluation.predictor import Predictor
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import ArtifactRecord, commit_artifact
from pipeline.media.footage import Footage
from pipeline.records.sample import Role, Sample, Task, Turn
from pipeline.storage.location import Location
from training.model.collate import collate
from training.model.weights.checkpoints import load_model, save_model

SAYS = ("[SEG]", "<TEMP-010>", "<TEMP-060>")
TEXT = "".join(SAYS)
QUESTION = "Where is the square?"


def asked_of(clip: Clip, question: str = QUESTION) -> Sample:
    """The question about a clip as a benchmark's sample."""
    turns = (Turn(role=Role.USER, text=question),)
    return Sample(key="bench/1", dataset="bench", task=Task.SEGMENT, video=clip.ref, turns=turns)


def write_speaking(
    folder: Path, sample: Sample, footage: Footage, turns: Sequence[Turn] | None = None
) -> None:
    """A finished checkpoint artifact that answers this sample with TEXT and then stops.

    What the random model says first gets the rows of these tokens, in the embedding too, so that all else in
    it stays as it was; the fourth token only predicts what the end of the answer would.
    """
    write_checkpoint(folder)
    teller = predictor(folder, footage)
    example = teller.processor.inference(sample, teller.frames(footage), turns=turns)
    batch = collate([example], pad_id=teller.model.tokens.pad)
    said = teller.model.generate(batch, len(SAYS) + 1).tokens[0].tolist()
    ids = teller.codec.tokenizer.convert_tokens_to_ids(list(SAYS))
    assert len({*said, *ids}) == len(said) + len(ids)
    assert not set(said[: len(SAYS)]) & set(example.input_ids)
    model = load_model(folder / "model")
    head, embed = model.language.lm.lm_head.weight, model.language.lm.model.embed_tokens.weight
    with torch.no_grad():
        for was, now in zip(said, [*ids, model.tokens.eos[0]], strict=True):
            head[[was, now]] = head[[now, was]]
            if now in ids:
                embed[[was, now]] = embed[[now, was]]
    save_model(model, folder / "model")
    commit_artifact(Location.parse(folder), record("init"))


def record(kind: str) -> ArtifactRecord:
    """The record of an artifact that a test made by hand."""
    return ArtifactRecord(
        step="init",
        kind=kind,
        fingerprint="f" * 64,
        digest="d" * 64,
        schema_version=1,
        code=code_version(),
        inputs={},
        config={},
        summary={},
        created="2026-01-01T00:00:00Z",
        seconds=0.0,
    )


def predictor(folder: Path, footage: Footage) -> Predictor:
    """The checkpoint as evaluation loads it."""
    return Predictor(
        folder / "model",
        folder / "tokenizer",
        footage=lambda sample: footage,
        max_new_tokens=8,
        seed=1,
        use_gpu=False,
    )
