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

import torch
from accelerate import init_empty_weights
from torch import Tensor

from pipeline.checkpoint import size_differences
from pipeline.config.model import ModelConfig
from pipeline.config.training import Part
from pipeline.errors import UserError
from training.model.names import ALIAS, PARTS, from_published, is_computed, locate, part_of, to_published
from training.model.tensor_files import SAFETENSORS_INDEX as INDEX_FILE
from training.model.tensor_files import tensors, write_shards
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.vocabulary import NewRows, RowCount

CONFIG_FILE = "config.json"
_SHOWN = 5
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


def published_shapes(model: UFVideo) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in the published layout. Works on the meta device."""
    return {name: tuple(tensor.shape) for name, tensor in published_state(model).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What a load has filled."""

    tensors: Mapping[Part, int]
    """stored tensors that were read, by part"""
    rows: RowCount | None = None
    """of the input embedding, where the vocabulary was fitted"""


def load_published(
    model: UFVideo,
    source: Path | Mapping[str, Tensor],
    *,
    part: Part | Collection[Part] = PARTS,
    new_rows: NewRows | None = None,
) -> Loaded:
    """Fills the model, or parts of it, from published weights; nothing may be missing or left over.

    ``source`` is as ``tensor_files.tensors`` takes it. Tensors go one by one into the model as it is
    allocated, in its dtype. Names of parts that are not asked for are left unread. Where one part is asked
    for, its own public names are understood too (``names.locate``); ``sam_encoder`` is all of SAM 2.
    ``new_rows``: fit the stored vocabulary to the model's; without it their sizes must agree.

    Raises UserError that counts and shows the names missing, the names left over and the shapes that differ.
    """
    parts = (part,) if isinstance(part, Part) else tuple(part)
    wanted = {name: tensor for name, tensor in own_state(model).items() if part_of(name) in parts}
    whole, tied = set(parts) == set(PARTS), model.config.language.tie_word_embeddings
    filled: set[str] = set()
    read_of = Counter[Part]()
    left, foreign, shapes = [], [], []
    rows: RowCount | None = None
    with torch.no_grad():
        for name, read in tensors(source):
            of, place = locate(name, parts)
            if is_computed(name) or (tied and place and place.name == _VOCABULARY[1]):
                continue
            target = wanted.get(place.name) if place else None
            if place is None or target is None:
                if of in parts or (of is None and whole):
                    left.append(name)
                elif of is None:
                    foreign.append(name)
                continue
            assert of is not None
            filled.update(p for p in to_published(place.name) if from_published(p) == place)
            target = target if place.row is None else target[place.row : place.row + 1]
            tensor = read()
            if new_rows and place.name in _VOCABULARY and target.shape[1:] == tensor.shape[1:]:
                count = new_rows.fill(target, tensor, place.name)
                rows = count if place.name == _VOCABULARY[0] else rows
            elif target.shape == tensor.shape:
                target.copy_(tensor)
            else:
                shapes.append(f"{name} is {_shape(tensor)}, the model has {_shape(target)}")
            read_of[of] += 1
    missing = [p for name in wanted for p in to_published(name) if p not in filled]
    if missing or left or shapes:
        raise UserError(
            str(source) if isinstance(source, Path) else "weights",
            " ".join(
                _told(what, names)
                for what, names in (
                    ("names missing", missing),
                    ("names left over", left),
                    ("names of no part that was asked for", foreign),
                    ("shapes differ", shapes),
                )
                if names
            ),
            "Check that these are the weights of this model, and that the model's size is theirs.",
        )
    return Loaded(tensors=read_of, rows=rows)


def save_model(model: UFVideo, folder: Path) -> None:
    """Writes ``config.json``, shards and, last, their index. The folder is made; files in it are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model": model.config.model_dump(mode="json"), "tokens": asdict(model.tokens)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n")
    write_shards(own_state(model), folder)


def read_config(folder: Path) -> tuple[ModelConfig, TokenIds]:
    """Sizes and token ids of a saved model. Raises UserError if the folder holds none."""
    file = folder / CONFIG_FILE
    if not (folder / INDEX_FILE).is_file() or not file.is_file():
        raise UserError(
            str(folder), f"holds no saved model ({CONFIG_FILE} and {INDEX_FILE}).", "Check the path."
        )
    try:
        raw = json.loads(file.read_text())
        tokens = TokenIds(**{**raw["tokens"], "eos": tuple(raw["tokens"]["eos"])})
        return ModelConfig.model_validate(raw["model"]), tokens
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            str(file), f"is not a model's configuration: {error}.", "Save the model again."
        ) from error


def load_model(folder: Path, expected: ModelConfig | None = None) -> UFVideo:
    """A saved model, in evaluation mode on the CPU.

    Raises UserError if the folder is no saved model, is incomplete, or if its shapes are not those of
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
    _load_state(model, folder)
    model.language.lm.tie_weights()
    return model.eval()


def _load_state(model: UFVideo, folder: Path) -> None:
    """Gives a model the parameters of a folder of ``save_model``, stored dtype and all.

    Raises UserError unless every tensor is there and fits.
    """
    wanted = own_state(model)
    taken: dict[str, Tensor] = {}
    for name, read in tensors(folder, keep=True):
        target, tensor = wanted.get(name), read()
        if target is None or target.shape != tensor.shape:
            have = "no such tensor" if target is None else _shape(target)
            raise UserError(
                str(folder), f"{name} is {_shape(tensor)}, the model has {have}.", "Check the path."
            )
        taken[name] = tensor
    model.load_state_dict(taken, strict=False, assign=True)
    if left := wanted.keys() - taken.keys():
        raise UserError(
            str(folder), f"{len(left)} tensors missing, such as {min(left)}.", "Save the model again."
        )


def _told(what: str, names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what}, such as {'; '.join(names[:_SHOWN])}{more}."


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
