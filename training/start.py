"""The first checkpoint: a tokenizer, and weights at random or from published files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import hub
from pipeline.config.data import Use
from pipeline.config.model import ModelConfig
from pipeline.config.plan import Plan, RowStart, WeightsConfig
from pipeline.config.training import Part
from pipeline.errors import UserError
from pipeline.storage import Location

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.data.dataset import Dataset
    from training.model.ufvideo import UFVideo
    from training.model.vocabulary import NewRows


def make_tokenizer(plan: Plan, data: Location | None) -> PreTrainedTokenizerBase:
    """The plan's tokenizer, or a byte-level BPE trained on the text of its training sources."""
    from training.model.tokenizer import load_tokenizer, train_tokenizer

    if plan.model.tokenizer.path:
        return load_tokenizer(_fetched(plan.model.tokenizer.path, plan, hub.TOKENIZER_FILES))
    assert data is not None, "a tokenizer that is trained here needs the prepared data"
    from training.data.dataset import Dataset

    return train_tokenizer(_texts(plan, Dataset.open(data)), vocab_size=plan.model.tokenizer.vocab_size)


def make_model(plan: Plan, tokenizer: PreTrainedTokenizerBase) -> UFVideo:
    """The plan's model: each part from the weights that the plan names, the others at random from its seed.

    Its vocabulary is the tokenizer's, to the token, as in the published model. Says on stdout what came from
    where. Raises UserError where weights do not fit.
    """
    import torch

    from training.model.build import build_model
    from training.model.names import PARTS
    from training.model.tokens import TokenIds
    from training.model.weights import load_published

    given = plan.model.weights
    sources = sources_of(given)
    model = build_model(
        sized(plan.model.resolved, len(tokenizer)),
        TokenIds.of(tokenizer),
        seed=plan.seed,
        filled={part for parts in sources.values() for part in parts},
        dtype=torch.bfloat16 if given.bf16 else torch.float32,
    )
    for key, parts in sources.items():
        text = given.paths[key]
        fit = _new_rows(plan, tokenizer) if Part.LANGUAGE in parts else None
        files = hub.SAM2_FILES if key == "sam2" else hub.WEIGHT_FILES
        loaded = load_published(model, _fetched(text, plan, files), part=parts, new_rows=fit)
        print(f"init: {', '.join(parts)} from {text} ({sum(loaded.tensors.values())} tensors)", flush=True)
        if fit and loaded.rows:
            rows = loaded.rows
            print(
                f"init: vocabulary: {rows.old} rows as stored, {rows.new} new ones start "
                + ("from the mean of the old" if fit.start is RowStart.MEAN else "at random")
                + (f", {rows.left_out} unused ones left out" if rows.left_out else ""),
                flush=True,
            )
    if sources and (begun := [part for part in PARTS if not any(part in p for p in sources.values())]):
        print(f"init: at random: {', '.join(begun)}", flush=True)
    return model


def sources_of(weights: WeightsConfig) -> dict[str, tuple[Part, ...]]:
    """Which parts come from which of the plan's weights, by key; each part from the most particular one."""
    from training.model.names import PARTS

    holds = {
        "language": (Part.LANGUAGE,),
        "connector": (Part.CONNECTOR,),
        "regions": (Part.REGIONS,),
        "vision": (Part.VISION,),
        "sam2": (Part.SAM_ENCODER,),
        "videorefer": (Part.LANGUAGE, Part.CONNECTOR, Part.REGIONS),
        "whole": PARTS,
    }
    out: dict[str, tuple[Part, ...]] = {}
    taken: set[Part] = set()
    for key, parts in holds.items():
        if key in weights.paths and (free := tuple(p for p in parts if p not in taken)):
            out[key] = free
            taken.update(free)
    return out


def _new_rows(plan: Plan, tokenizer: PreTrainedTokenizerBase) -> NewRows:
    from training.model.tokenizer import unknown_tokens
    from training.model.vocabulary import NewRows

    config = plan.model.tokenizer
    if config.path is None:
        raise UserError(
            "model.tokenizer.path",
            "is not set, but the plan loads a language model, whose rows are those of its own tokenizer.",
            "Name the folder of that tokenizer.",
        )
    unknown = unknown_tokens(_fetched(config.path, plan, hub.TOKENIZER_FILES))
    ids = tokenizer.get_vocab()
    return NewRows(
        tokens=frozenset(ids[token] for token in unknown),
        start=config.new_rows,
        seed=plan.seed,
    )


def sized(config: ModelConfig, vocabulary: int) -> ModelConfig:
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


def _fetched(text: str, plan: Plan, files: Sequence[str]) -> Path:
    """A local copy of what a plan names: a file or folder here, on S3, or on the hub."""
    if model := hub.hub_model(text):
        folder = hub.fetch(model, files)
        pts = sorted(folder.glob("*.pt")) if files == hub.SAM2_FILES else []
        return pts[0] if len(pts) == 1 else folder
    place = Location.parse(text, plan.storage.cache)
    return place.fetch_dir() if place.is_dir() else place.fetch()
