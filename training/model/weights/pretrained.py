"""Loads a model in this project's layout or the published one, from a folder, S3 or the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import StorageError, UserError
from pipeline.plan.model import ModelConfig
from pipeline.plan.presets import published_7b
from pipeline.storage import hub
from training.model.build import build_model
from training.model.parts import PARTS
from training.model.tokenizer import load_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import (
    CONFIG_FILE,
    OWN_CONFIG,
    load_model,
    load_published,
    parse_config,
    read_config,
)
from training.model.weights.tensor_files import tensors


def from_pretrained(
    source: str | Path, *, config: ModelConfig | None = None, dtype: torch.dtype | None = None
) -> UFVideo:
    """A model with its weights, in evaluation mode on the CPU.

    ``source``: a checkpoint's ``model`` folder or what ``save_model`` wrote, a folder in the published layout
    (an export, the released model), local or ``s3://``, or text that names such a model of the hub
    (``org/name@revision``). ``config``: the sizes, if the folder's config.json does not contain them and they
    are not those of the published 7B. ``dtype``: of the parameters; None: as stored. On a GPU, call
    ``set_attention`` afterwards; otherwise PyTorch's own attention kernels are used.

    Raises UserError if the source cannot be read, is incomplete, or does not fit ``config``.
    """
    text = str(source.absolute()) if isinstance(source, Path) else source  # a Path never names a hub model
    folder = hub.local_copy(text, hub.MODEL_FILES).path
    raw = _read(folder)
    if _is_own(raw):
        return load_model(folder, config, dtype=dtype)
    stored, tokens = _published(raw, folder)
    tokens = tokens or TokenIds.of(load_tokenizer(folder))
    dtype = dtype or next(tensors(folder)).read().dtype
    try:
        # Shapes that differ from those of ``config`` are reported by name when the weights are read.
        model = build_model(config or stored, tokens, seed=0, filled=PARTS, dtype=dtype)
    except ValueError as error:
        raise UserError(
            str(folder), f"its weights and its tokenizer do not fit together: {error}.", "Fetch both again."
        ) from error
    load_published(model, folder)
    return model.eval()


def stored_sizes(folder: Path) -> ModelConfig:
    """The sizes of the model in a folder, in either layout, without its weights. Raises UserError."""
    raw = _read(folder)
    return (read_config(folder) if _is_own(raw) else _published(raw, folder))[0]


def _is_own(raw: dict[str, Any]) -> bool:
    """Whether a config.json is this project's own, not the published one."""
    return "tokens" in raw


def _published(raw: dict[str, Any], folder: Path) -> tuple[ModelConfig, TokenIds | None]:
    """Sizes of a model in the published layout, and its token ids if the file contains them."""
    if OWN_CONFIG in raw:
        return parse_config(raw[OWN_CONFIG], folder / CONFIG_FILE)
    # The published config.json says nothing about SigLIP, the connector or SAM 2: they have one size only.
    published, rows = published_7b(), raw.get("vocab_size")
    if not isinstance(rows, int) or rows < 1:
        raise UserError(
            str(folder / CONFIG_FILE), "has no vocab_size.", "Use the config.json of these weights."
        )
    language = published.language.model_copy(update={"vocab_size": rows})
    return published.model_copy(update={"language": language}), None


def _read(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    try:
        raw = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(file), error) from error
        raise UserError(
            str(folder),
            f"has no readable {CONFIG_FILE} ({error}).",
            "Use the model/ folder of a checkpoint, an export, or a model of the hub.",
        ) from error
    if not isinstance(raw, dict):
        raise UserError(str(file), "is not a model's configuration.", "Save the model again.")
    return raw
