"""The first checkpoint: a tokenizer, and weights at random or from published files."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline.errors import UserError
from pipeline.plan.data import Use
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from pipeline.plan.plan import Plan, RowStart, WeightsConfig
from pipeline.storage import hub
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.data.dataset import Dataset
    from training.model.ufvideo import UFVideo
    from training.model.weights.vocabulary import NewRows

_HOLD_NO_OTHER: Final = ("whole", "videorefer", "language")
"""Weights of this model or of a part of it: a name in them that the model does not have is a mistake."""


def make_tokenizer(plan: Plan, data: Location | None) -> PreTrainedTokenizerBase:
    """The plan's tokenizer, or a byte-level BPE trained on the text of its training sources."""
    from training.model.tokenizer import load_tokenizer, train_tokenizer

    if path := plan.model_section.tokenizer.path:
        found = hub.local_copy(path, hub.TOKENIZER_FILES, plan.storage.local_cache)
        print(f"init: tokenizer from {path}{found.at}", flush=True)
        return load_tokenizer(found.path)
    assert data is not None, "a tokenizer that is trained here needs the prepared data"
    from training.data.dataset import Dataset

    return train_tokenizer(
        _texts(plan, Dataset.open(data)), vocab_size=plan.model_section.tokenizer.vocab_size
    )


def make_model(
    plan: Plan, tokenizer: PreTrainedTokenizerBase, commits: MutableMapping[str, str] | None = None
) -> UFVideo:
    """The plan's model: each part from the weights that the plan names, the others at random from its seed.

    Its vocabulary is the tokenizer's, to the token, as in the published model. Prints what came from
    where; ``commits`` is given the commit of each of ``model.weights`` that came from the hub, by key. Raises
    UserError where weights do not fit.
    """
    import torch

    from training.model.build import build_model
    from training.model.parts import PARTS
    from training.model.tokens import TokenIds
    from training.model.weights.checkpoints import load_published
    from training.model.weights.mismatches import fold_names

    given = plan.model_section.weights
    sources = sources_of(given)
    model = build_model(
        with_vocabulary(plan.model_section.resolved, len(tokenizer)),
        TokenIds.of(tokenizer),
        seed=plan.seed,
        filled={part for parts in sources.values() for part in parts},
        dtype=torch.bfloat16 if given.bf16 else torch.float32,
    )
    for key, parts in sources.items():
        text = given.paths[key]
        found = _weights(key, text, plan)
        fit = _new_rows(plan, tokenizer, key, found) if Part.LANGUAGE in parts else None
        loaded = load_published(model, found.path, part=parts, new_rows=fit, strict=key in _HOLD_NO_OTHER)
        named = ", ".join(parts)
        print(f"init: {named} from {text}{found.at} ({sum(loaded.tensors.values())} tensors)", flush=True)
        if commits is not None and found.commit:
            commits[key] = found.commit
        if loaded.ignored:
            names = "; ".join(fold_names(loaded.ignored))
            print(f"init: {len(loaded.ignored)} names in {text} are not of this model: {names}", flush=True)
        if fit and loaded.rows:
            rows = loaded.rows
            print(
                f"init: vocabulary: {rows.old} rows as stored, {rows.new} new ones start "
                + ("from the mean of the old" if fit.start is RowStart.MEAN else "at random")
                + (f", {rows.dropped} unused ones dropped" if rows.dropped else ""),
                flush=True,
            )
    if sources and (begun := [part for part in PARTS if not any(part in p for p in sources.values())]):
        print(f"init: at random: {', '.join(begun)}", flush=True)
    return model


def sources_of(weights: WeightsConfig) -> dict[str, tuple[Part, ...]]:
    """Which parts come from which of the plan's weights, by key; each part from the most particular one."""
    from training.model.parts import ROWS

    # A key of fewer parts is more particular than one of more.
    every = dict.fromkeys(key for row in ROWS.values() for key in row.keys)
    holds = {key: tuple(part for part, row in ROWS.items() if key in row.keys) for key in every}
    holds = dict(sorted(holds.items(), key=lambda item: len(item[1])))
    out: dict[str, tuple[Part, ...]] = {}
    taken: set[Part] = set()
    for key, parts in holds.items():
        if key in weights.paths and (free := tuple(p for p in parts if p not in taken)):
            out[key] = free
            taken.update(free)
    return out


def _weights(key: str, text: str, plan: Plan) -> hub.LocalCopy:
    """A local copy of one of the plan's weights."""
    patterns = hub.SAM2_FILES if key == "sam2" else hub.WEIGHT_FILES
    found = hub.local_copy(text, patterns, plan.storage.local_cache)
    model = hub.hub_model(text)
    if key == "sam2" and model:
        return replace(found, path=hub.only_file(model, found, "*.pt"))
    return found


def _new_rows(plan: Plan, tokenizer: PreTrainedTokenizerBase, key: str, weights: hub.LocalCopy) -> NewRows:
    """Which rows are new: those of tokens that the tokenizer beside the weights does not know.

    Where there is none, the plan's own tokenizer has to tell, as it was before the 102 were added.
    """
    from training.model.tokenizer import holds_tokenizer, own_vocabulary
    from training.model.weights.vocabulary import NewRows

    config, text = plan.model_section.tokenizer, plan.model_section.weights.paths[key]
    if config.path is None:
        raise UserError(
            "model.tokenizer.path",
            "is not set, but the plan loads a language model, whose rows are those of its own tokenizer.",
            "Name the folder of that tokenizer.",
        )
    if model := hub.hub_model(text):
        same = replace(model, revision=weights.commit or model.revision)
        folder = hub.fetch(same, hub.TOKENIZER_FILES).path
    else:
        folder = weights.path if weights.path.is_dir() else weights.path.parent
    if not holds_tokenizer(folder):
        print(
            f"init: {text} holds no tokenizer: model.tokenizer.path tells which tokens its weights know",
            flush=True,
        )
        folder = hub.local_copy(config.path, hub.TOKENIZER_FILES, plan.storage.local_cache).path
    known, ids = own_vocabulary(folder), tokenizer.get_vocab()
    if moved := sorted((i, token) for token, i in ids.items() if known.get(token, i) != i):
        here, token = moved[0]
        raise UserError(
            f"model.weights.{key}",
            f"its own tokenizer, of {folder}, gives {len(moved)} tokens other ids than model.tokenizer.path: "
            f"{token!r} is {known[token]} there and {here} here.",
            "Set model.tokenizer.path to the tokenizer of these weights.",
        )
    return NewRows(
        tokens=frozenset(i for token, i in ids.items() if token not in known),
        start=config.new_rows,
        seed=plan.seed,
    )


def with_vocabulary(config: ModelConfig, vocabulary: int) -> ModelConfig:
    """A configuration with one embedding row per token."""
    return config.model_copy(
        update={"language": config.language.model_copy(update={"vocab_size": vocabulary})}
    )


def _texts(plan: Plan, dataset: Dataset) -> Iterator[str]:
    """Every turn of every training sample, in the order of the shards."""
    for source in sorted(s.name for s in plan.data.sources if s.use is Use.TRAIN):
        for row in range(dataset.size(source)):
            for turn in dataset.sample(source, row).turns:
                yield turn.text
