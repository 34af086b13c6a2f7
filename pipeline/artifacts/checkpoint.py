"""Checkpoints: where those of other plans are, and whether one has the size that a plan wants.

Reads records and configurations, not weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pipeline.artifacts.record import Artifact, load_artifact
from pipeline.errors import UserError
from pipeline.plan.model import ModelConfig
from pipeline.storage.cache import Cache
from pipeline.storage.hub import is_plain
from pipeline.storage.location import Location

MODEL: Final = "model"
TOKENIZER: Final = "tokenizer"
"""Folders of a checkpoint artifact: config.json with the weights, and the text tokenizer."""

CONFIG_FILE: Final = "config.json"
"""In a folder with weights and their tokenizer that was not made by a plan."""

_NO_SIZE: Final = {"loss", "init", "attention"}


def outside_artifact(place: str, cache: Cache | None) -> Artifact | None:
    """The artifact at a place that a plan names; None for another folder, and for a model of the hub.

    Raises as ``load_artifact`` does.
    """
    return None if is_plain(place) else load_artifact(Location.parse(place, cache))


def start_config(checkpoint: Location, wanted: ModelConfig, stage: str) -> ModelConfig:
    """The configuration to train a checkpoint with: the plan's, with the checkpoint's vocabulary.

    Loss weights, initial scales and the choice of attention are the plan's to change. Raises UserError,
    naming the fields that differ, if the checkpoint is of another size, and if it is not a checkpoint;
    StorageError if it cannot be read.
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
            place.uri, f"is not a model configuration ({error}).", "Make the checkpoint again."
        ) from None
    language = wanted.language.model_copy(update={"vocab_size": saved.language.vocab_size})
    wanted = wanted.model_copy(update={"language": language})
    if differing := size_differences(saved, wanted):
        raise UserError(
            f"stage {stage}",
            f"its start checkpoint {checkpoint.uri} is a model of another size: {'; '.join(differing[:4])}"
            f"{f' and {len(differing) - 4} more' if len(differing) > 4 else ''}.",
            "Make model.preset and model.overrides those of the checkpoint, or start from another one.",
        )
    return wanted


def size_differences(saved: ModelConfig, wanted: ModelConfig) -> list[str]:
    """Fields that fix shapes and differ: ``vision.hidden_size is 64, the plan says 128``."""
    return _differences(saved.model_dump(exclude=_NO_SIZE), wanted.model_dump(exclude=_NO_SIZE), "")


def _differences(saved: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str) -> list[str]:
    out: list[str] = []
    for key, value in wanted.items():
        if isinstance(value, Mapping):
            out += _differences(saved[key], value, f"{prefix}{key}.")
        elif saved[key] != value:
            out.append(f"{prefix}{key} is {saved[key]}, the plan says {value}")
    return out
