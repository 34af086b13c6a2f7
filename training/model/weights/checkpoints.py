"""Weights in and out: the published checkpoint layout, and this project's own folders.

Own layout: ``config.json`` (sizes and token ids) beside ``model-*.safetensors`` with an index, as Hugging
Face shards them, under this model's own parameter names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor

from pipeline.artifacts.checkpoint import size_differences
from pipeline.errors import StorageError, UserError
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from training.model.parts import PARTS
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.mismatches import Mismatches
from training.model.weights.names import (
    ALIAS,
    from_published,
    is_computed,
    locate,
    part_of,
    to_published,
)
from training.model.weights.tensor_files import SAFETENSORS_INDEX, tensors, write_shards
from training.model.weights.vocabulary import NewRows, RowCount

CONFIG_FILE = "config.json"
OWN_CONFIG = "ufvideo"
"""Key of an export's config.json that holds ``own_config``; its other keys are the published ones."""
_VOCABULARY = ("language.lm.model.embed_tokens.weight", "language.lm.lm_head.weight")


def own_state(model: UFVideo) -> dict[str, Tensor]:
    """The model's tensors, each under one name."""
    tied = model.config.language.tie_word_embeddings
    skip = {ALIAS, *(_VOCABULARY[1:] if tied else ())}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in skip}


def published_state(model: UFVideo) -> dict[str, Tensor]:
    """The model's tensors under their published names. They share the model's memory."""
    out: dict[str, Tensor] = {}
    for name, tensor in own_state(model).items():
        names = to_published(name)
        out.update(zip(names, tensor.split(1) if len(names) > 1 else (tensor,), strict=True))
    return out


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadSummary:
    """What was loaded."""

    tensors: Mapping[Part, int]
    """number of stored tensors that were read, by part"""
    rows: RowCount | None = None
    """of the input embedding, where the vocabulary was resized"""
    ignored: tuple[str, ...] = ()
    """names of tensors that the model does not have, in the order of the files"""


def load_published(
    model: UFVideo,
    source: Path | Mapping[str, Tensor],
    *,
    part: Part | Collection[Part] = PARTS,
    new_rows: NewRows | None = None,
    strict: bool = True,
) -> LoadSummary:
    """Loads the model, or parts of it, from published weights; no name may be missing or unexpected.

    ``source`` is as ``tensor_files.tensors`` takes it. Tensors are copied one by one into the allocated
    model, in its dtype. Tensors of other parts than ``part`` are not read. If ``part`` is a single one,
    its own public names are understood too (``names.locate``); ``sam_encoder`` is all of SAM 2. ``new_rows``:
    resize the stored vocabulary to the model's; without it their sizes must agree. ``strict``: a name that
    belongs to no part is unexpected, too. Turn it off for a source that holds more than this model has
    (SigLIP's text half); such names are then in ``LoadSummary.ignored``.

    Raises UserError that lists all missing names, all unexpected names and all different shapes.
    """
    parts = (part,) if isinstance(part, Part) else tuple(part)
    own = own_state(model)
    expected = {name: tensor for name, tensor in own.items() if part_of(name) in parts}
    tied = model.config.language.tie_word_embeddings
    filled: set[str] = set()
    read = Counter[Part]()
    mismatches = Mismatches()
    rows: RowCount | None = None
    with torch.no_grad():
        for stored in tensors(source):
            of, place = locate(stored.name, parts)
            if is_computed(stored.name) or (tied and place and place.name == _VOCABULARY[1]):
                continue
            target = expected.get(place.name) if place else None
            if place is None or target is None:
                if of in parts or (of is None and strict):
                    mismatches.add_unexpected(stored.name, stored.file)
                elif place is None or place.name not in own:
                    mismatches.ignored.append(stored.name)
                continue
            assert of is not None
            filled.update(p for p in to_published(place.name) if from_published(p) == place)
            target = target if place.row is None else target[place.row : place.row + 1]
            tensor = stored.read()
            if new_rows and place.name in _VOCABULARY and target.shape[1:] == tensor.shape[1:]:
                count = new_rows.fill(target, tensor, place.name)
                rows = count if place.name == _VOCABULARY[0] else rows
            elif target.shape == tensor.shape:
                target.copy_(tensor)
            else:
                mismatches.add_shape(stored.name, tensor, target, stored.file)
            read[of] += 1
    mismatches.missing += [p for name in expected for p in to_published(name) if p not in filled]
    mismatches.refuse(
        str(source) if isinstance(source, Path) else "weights",
        "Check that these are the weights of this model, and that the model has their size.",
    )
    return LoadSummary(tensors=read, rows=rows, ignored=tuple(mismatches.ignored))


def own_config(model: UFVideo) -> dict[str, Any]:
    """Sizes and token ids, as JSON; ``parse_config`` reads them."""
    return {"model": model.config.model_dump(mode="json"), "tokens": asdict(model.tokens)}


def save_model(model: UFVideo, folder: Path) -> None:
    """Writes ``config.json``, shards and, last, their index. Creates the folder; replaces files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(own_config(model), indent=1) + "\n")
    # transformers refuses a file whose metadata does not name the framework.
    write_shards(own_state(model), folder, metadata={"format": "pt"})


def read_config(folder: Path) -> tuple[ModelConfig, TokenIds]:
    """Sizes and token ids of a saved model. Raises UserError if the folder holds none."""
    file = folder / CONFIG_FILE
    if not (folder / SAFETENSORS_INDEX).is_file() or not file.is_file():
        raise UserError(
            str(folder), f"holds no saved model ({CONFIG_FILE} and {SAFETENSORS_INDEX}).", "Check the path."
        )
    try:
        raw = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(file), error) from error
        raise _no_config(file, error) from error
    return parse_config(raw, file)


def parse_config(raw: Any, file: Path) -> tuple[ModelConfig, TokenIds]:
    """The inverse of ``own_config``. ``file``: where ``raw`` was read, for the UserError that is raised."""
    try:
        tokens = TokenIds(**{**raw["tokens"], "eos": tuple(raw["tokens"]["eos"])})
        return ModelConfig.model_validate(raw["model"]), tokens
    except (ValueError, KeyError, TypeError) as error:
        raise _no_config(file, error) from error


def _no_config(file: Path, error: Exception) -> UserError:
    return UserError(str(file), f"is not a model's configuration: {error}.", "Save the model again.")


def load_model(
    folder: Path, expected: ModelConfig | None = None, *, dtype: torch.dtype | None = None
) -> UFVideo:
    """A saved model, in evaluation mode on the CPU.

    ``dtype``: of its parameters. None: as stored; the files then stay memory-mapped, which uses no memory
    until the parameters are read or moved to a device. If another dtype is needed, pass it here:
    ``load_model(folder).float()`` keeps the mapped pages in memory beside the copy.

    Raises UserError if the folder is not a saved model, is incomplete, or if its shapes are not those of
    ``expected`` (loss weights, initialisation and the choice of attention may differ, and are then taken
    from ``expected``).
    """
    config, tokens = read_config(folder)
    if expected is not None:
        if differing := size_differences(config, expected):
            raise UserError(
                str(folder),
                f"is a model of another size: {'; '.join(differing[:3])}.",
                "Choose a checkpoint of this plan's model, or change the plan's model section.",
            )
        config = expected
    # Buffers that the configuration fixes are in no checkpoint, so only parameters start out empty.
    with init_empty_weights(include_buffers=False):
        model = UFVideo(config, tokens)
    _load_state(model, folder, dtype)
    model.language.lm.tie_weights()
    return model.eval()


def _load_state(model: UFVideo, folder: Path, dtype: torch.dtype | None) -> None:
    """Loads the tensors of a folder that ``save_model`` wrote; parameters in ``dtype`` if that is given.

    Buffers keep the dtype in which the model creates them, unlike with ``model.to(dtype)``.
    Raises UserError that lists all missing and unexpected tensors and all different shapes.
    """
    expected = own_state(model)
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    taken: dict[str, Tensor] = {}
    mismatches = Mismatches()
    for stored in tensors(folder, keep=dtype is None):
        target = expected.get(stored.name)
        if target is None:
            mismatches.add_unexpected(stored.name, stored.file)
            continue
        tensor = stored.read()
        if target.shape != tensor.shape:
            mismatches.add_shape(stored.name, tensor, target, stored.file)
        if dtype is not None:  # always a copy: a tensor that has this dtype already would keep the mapping
            tensor = tensor.to(dtype if stored.name in parameters else target.dtype, copy=True)
        taken[stored.name] = tensor
    mismatches.missing += [name for name in expected if name not in taken]
    mismatches.refuse(str(folder), "Check the path, or save the model again.")
    model.load_state_dict(taken, strict=False, assign=True)
