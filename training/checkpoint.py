"""What a checkpoint artifact holds, and whether one fits a plan.

model/        config.json, model-*.safetensors and their index (training.model.weights)
tokenizer/    the text tokenizer with the 102 added tokens (training.model.tokenizer)
training.json what the run did, in a stage's checkpoint
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.config.model import ModelConfig
from pipeline.errors import UserError
from pipeline.storage import Location

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.model.ufvideo import UFVideo

MODEL: Final = "model"
TOKENIZER: Final = "tokenizer"
SUMMARY: Final = "training.json"
RUN: Final = "run"
"""Folder of Ray Train's own checkpoints; it goes when the stage is finished."""

_NO_SIZE: Final = {"loss", "init", "attention"}


def write_checkpoint(model: UFVideo, tokenizer: PreTrainedTokenizerBase, out: Location, scratch: Path) -> str:
    """Write model and tokenizer below ``out``, each in one act, and return the SHA-256 of the weights."""
    from training.model.weights import save_model

    save_model(model, scratch / MODEL)
    tokenizer.save_pretrained(str(scratch / TOKENIZER))
    digest = weights_digest(scratch / MODEL)
    for name in (TOKENIZER, MODEL):
        (out / name).put_dir(scratch / name)
    return digest


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the weight files."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        total.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(2**22):
                total.update(block)
    return total.hexdigest()


def start_config(checkpoint: Location, wanted: ModelConfig, stage: str) -> ModelConfig:
    """The configuration to train a checkpoint with: the plan's, with the checkpoint's vocabulary.

    Loss weights, initial scales and the choice of attention are the plan's to change. Raises UserError,
    naming the fields that differ, if the checkpoint is of another size, and if it is no checkpoint at all.
    """
    place = checkpoint / MODEL / "config.json"
    try:
        saved = ModelConfig.model_validate(json.loads(place.read_bytes())["model"])
    except FileNotFoundError:
        raise UserError(
            f"stage {stage}", f"{checkpoint.uri} holds no model.", "Set start_from to a checkpoint artifact."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            place.uri, f"is no model configuration ({error}).", "Make the checkpoint again."
        ) from None
    language = wanted.language.model_copy(update={"vocab_size": saved.language.vocab_size})
    wanted = wanted.model_copy(update={"language": language})
    differing = differences(saved.model_dump(exclude=_NO_SIZE), wanted.model_dump(exclude=_NO_SIZE))
    if differing:
        raise UserError(
            f"stage {stage}",
            f"its start checkpoint {checkpoint.uri} is a model of another size: {'; '.join(differing[:4])}"
            f"{f' and {len(differing) - 4} more' if len(differing) > 4 else ''}.",
            "Make model.preset and model.overrides those of the checkpoint, or start from another one.",
        )
    return wanted


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Fields of two nested configurations that differ: ``vision.hidden_size is 64, the plan says 128``."""
    out: list[str] = []
    for key, value in wanted.items():
        if isinstance(value, Mapping):
            out += differences(saved[key], value, f"{prefix}{key}.")
        elif saved[key] != value:
            out.append(f"{prefix}{key} is {saved[key]}, the plan says {value}")
    return out
