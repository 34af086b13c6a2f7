"""A toy checkpoint with a fixed answer to one question: random weights, a few vocabulary rows exchanged."""

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

ANSWER_TOKENS = ("[SEG]", "<TEMP-010>", "<TEMP-060>")
TEXT = "".join(ANSWER_TOKENS)
QUESTION = "Where is the square?"


def sample_of(clip: Clip, question: str = QUESTION) -> Sample:
    """The question about a clip as a benchmark's sample."""
    turns = (Turn(role=Role.USER, text=question),)
    return Sample(key="bench/1", dataset="bench", task=Task.SEGMENT, video=clip.ref, turns=turns)


def write_answering_checkpoint(
    folder: Path, sample: Sample, footage: Footage, turns: Sequence[Turn] | None = None
) -> None:
    """A finished checkpoint artifact that answers this sample with TEXT and then stops.

    The first tokens that the random model generates exchange rows with these, in the embedding too, so that
    everything else stays unchanged; the fourth exchanges only its output row with that of the end token.
    """
    write_checkpoint(folder)
    unchanged = predictor(folder, footage)
    example = unchanged.processor.inference(sample, unchanged.frames(footage), turns=turns)
    batch = collate([example], pad_id=unchanged.model.tokens.pad)
    generated = unchanged.model.generate(batch, len(ANSWER_TOKENS) + 1).tokens[0].tolist()
    ids = unchanged.codec.tokenizer.convert_tokens_to_ids(list(ANSWER_TOKENS))
    assert len({*generated, *ids}) == len(generated) + len(ids)
    assert not set(generated[: len(ANSWER_TOKENS)]) & set(example.input_ids)
    model = load_model(folder / "model")
    head, embed = model.language.lm.lm_head.weight, model.language.lm.model.embed_tokens.weight
    with torch.no_grad():
        for old, new in zip(generated, [*ids, model.tokens.eos[0]], strict=True):
            head[[old, new]] = head[[new, old]]
            if new in ids:
                embed[[old, new]] = embed[[new, old]]
    save_model(model, folder / "model")
    commit_artifact(Location.parse(folder), record("init"))


def record(kind: str) -> ArtifactRecord:
    """The record of an artifact that is written by a test."""
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
