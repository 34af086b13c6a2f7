"""Weights in and out: the published checkpoint layout, and this project's own folders.

Own layout: ``config.json`` (sizes and token ids) beside ``model-*.safetensors`` with an index, as Hugging
Face shards them, under this model's own parameter names.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import size_differences
from pipeline.config.model import ModelConfig
from pipeline.config.training import Part
from pipeline.errors import UserError
from training.model.names import ALIAS, Place, from_published, to_published
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

CONFIG_FILE, INDEX_FILE = "config.json", "model.safetensors.index.json"
_SHARD_BYTES = 4 * 1024**3
_VOCABULARY = ("language.lm.model.embed_tokens.weight", "language.lm.lm_head.weight")

_PART_PREFIX = {
    Part.VISION: "vision.",
    Part.LANGUAGE: "language.",
    Part.CONNECTOR: "connector.",
    Part.REGIONS: "regions.",
    Part.SEG_HEAD: "segmentation.head.",
    Part.SAM_ENCODER: "segmentation.sam.",
}
# How a part's own public checkpoint spells what the published layout puts behind a prefix.
_PUBLIC_PREFIX = {
    Part.VISION: ("vision_model.", "model.vision_tower.vision_tower.vision_model."),
    Part.SAM_ENCODER: ("", "model.mask_encoder.sam2_model."),
}


def own_state(model: UFVideo) -> dict[str, Tensor]:
    """The model's tensors, each under one name."""
    tied = model.config.language.tie_word_embeddings
    skip = {ALIAS, *(_VOCABULARY[1:] if tied else ())}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in skip}


def published_shapes(model: UFVideo) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in the published layout. Works on the meta device."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in own_state(model).items():
        names = to_published(name)
        for published in names:
            shapes[published] = tuple(tensor.shape) if len(names) == 1 else (1, *tensor.shape[1:])
    return shapes


def load_published(
    model: UFVideo,
    source: Path | Mapping[str, Tensor],
    *,
    part: Part | None = None,
    resize_vocabulary: bool = False,
) -> None:
    """Fills the model, or one part of it, from published weights; nothing may be missing or left over.

    ``source``: tensors by name, a .safetensors or .pt file, or a folder of .safetensors files. With ``part``,
    names outside it are left unread, and the part's own public names are understood too: a SigLIP
    checkpoint's ``vision_model.*`` for ``vision``, a SAM 2 checkpoint's names for ``sam_encoder``, which
    loads all of SAM 2.
    ``resize_vocabulary``: copy the rows that both vocabularies have; further rows here keep their values.

    Raises UserError with examples where names or shapes do not fit.
    """
    where = str(source) if isinstance(source, Path) else "weights"
    wanted = {
        name: tensor
        for name, tensor in own_state(model).items()
        if part is None or name.startswith(_PART_PREFIX[part])
    }
    filled: set[str] = set()
    unknown, shapes = [], []
    with ExitStack() as stack, torch.no_grad():
        for name, read in _tensors(source, stack):
            place = _place(name, part)
            target = wanted.get(place.name) if place else None
            if place is None or target is None:
                if part is None:
                    unknown.append(name)
                continue
            target = target if place.row is None else target[place.row : place.row + 1]
            tensor = read()
            if resize_vocabulary and place.name in _VOCABULARY:
                rows = min(len(target), len(tensor))
                target, tensor = target[:rows], tensor[:rows]
            if target.shape != tensor.shape:
                shapes.append(f"{name} is {_shape(tensor)}, the model has {_shape(target)}")
            else:
                target.copy_(tensor)
            filled.update(p for p in to_published(place.name) if from_published(p) == place)
    missing = [p for name in wanted for p in to_published(name) if p not in filled]
    problems = [
        f"{len(names)} {what}, such as {'; '.join(names[:3])}."
        for what, names in (
            ("names missing", missing),
            ("names left over", unknown),
            ("shapes differ", shapes),
        )
        if names
    ]
    if problems:
        raise UserError(where, " ".join(problems), "Check that the model's size is that of the weights.")


def save_model(model: UFVideo, folder: Path) -> None:
    """Writes ``config.json``, shards and, last, their index. The folder is made; files in it are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in own_state(model).items():
        if size and size + tensor.nbytes > _SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach().contiguous().cpu()
        size += tensor.nbytes
    index: dict[str, str] = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file)
        index.update(dict.fromkeys(shard, file))
    config = {"model": model.config.model_dump(mode="json"), "tokens": asdict(model.tokens)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n")
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": index}, indent=1) + "\n")


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
    with ExitStack() as stack:
        for name, read in _tensors(folder, stack):
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


def _tensors(source: Path | Mapping[str, Tensor], stack: ExitStack) -> Iterator[tuple[str, Any]]:
    if isinstance(source, Mapping):
        for name, tensor in source.items():
            yield name, lambda tensor=tensor: tensor
        return
    if source.suffix == ".pt" and source.is_file():
        yield from _tensors(_torch_file(source), stack)
        return
    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source] if source.is_file() else []
    if not files:
        pts = sorted(p.name for p in source.glob("*.pt"))
        raise UserError(
            str(source),
            "holds no .safetensors file.",
            f"Name its file {pts[0]} in the path." if pts else "Check the path.",
        )
    for file in files:
        try:
            opened = stack.enter_context(safe_open(file, framework="pt"))
        except SafetensorError as error:
            raise UserError(
                str(file), f"is not a complete .safetensors file: {error}.", "Fetch it again."
            ) from error
        for name in opened.keys():  # noqa: SIM118 - no mapping
            yield name, lambda opened=opened, name=name: opened.get_tensor(name)


def _torch_file(file: Path) -> dict[str, Tensor]:
    """Tensors of a .pt file, as SAM 2 publishes its weights: a state dict, alone or under ``model``."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(
            str(file),
            f"is no complete .pt file of weights: {str(error).splitlines()[0]}.",
            "Fetch it again, or convert it to .safetensors.",
        ) from error
    state = found.get("model", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise UserError(
            str(file),
            "holds no state dict, neither alone nor under `model`.",
            "Save its state dict as .safetensors.",
        )
    return state


def _place(name: str, part: Part | None) -> Place | None:
    candidates = [name]
    if part in _PUBLIC_PREFIX:
        public, published = _PUBLIC_PREFIX[part]
        if name.startswith(public) and not name.startswith("model."):
            candidates = [published + name.removeprefix(public)]
    for candidate in candidates:
        try:
            return from_published(candidate)
        except ValueError:
            continue
    return None


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
