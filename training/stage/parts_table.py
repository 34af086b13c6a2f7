"""Which parts of the model a stage trains, and how: one row for each part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from accelerate import init_empty_weights
from torch import nn

from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from pipeline.plan.training import StageConfig
from training.model.recompute import recomputes
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.stage.model_setup import set_up_model

_REST: Final = "(not trained)"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartSummary:
    """One part."""

    part: str
    tensors: int
    parameters: int
    trainable: int
    """how many of the parameters"""
    share: float
    """of all trainable parameters of the model"""
    lr: float
    """peak learning rate; 0 where nothing is trained"""
    checkpointed: bool
    """whether its activations are computed again in the backward pass"""


def part_rows(model: UFVideo, stage: StageConfig) -> list[PartSummary]:
    """One row per part, and a last one of what no part trains: layers and heads that are carried along.

    ``model`` is as ``training.stage.model_setup`` leaves it, not yet split over workers; its weights are not
    read.
    """
    every = {id(p): p for p in model.parameters()}
    trained = sum(p.numel() for p in every.values() if p.requires_grad)
    rows = []
    for part in Part:
        owned = list(model.language.parameters()) if part is Part.LANGUAGE else model.part_parameters(part)
        for parameter in owned:
            del every[id(parameter)]
        deep = model.deep_parts.get(part)
        peak = stage.optimizer.part_lr.get(part, stage.optimizer.lr)
        rows.append(_row(part.value, owned, trained, peak, deep is not None and recomputes(deep)))
    return [*rows, _row(_REST, every.values(), trained, 0.0, False)]


def planned_rows(config: ModelConfig, stage: StageConfig) -> list[PartSummary]:
    """``part_rows`` of a stage that has not begun; no weights are read or made."""
    with init_empty_weights(include_buffers=True):
        model = UFVideo(config, TokenIds(region=0, seg=0, eos=(), pad=0))
    set_up_model(model, stage, seed=0)
    return part_rows(model, stage)


def render(rows: Sequence[PartSummary]) -> str:
    """The rows as lines of text, with a sum."""
    lines = [("part", "tensors", "parameters", "trainable", "share", "lr", "checkpointed")]
    lines += [
        (
            r.part,
            f"{r.tensors}",
            f"{r.parameters:,}",
            f"{r.trainable:,}",
            f"{r.share:.1%}",
            f"{r.lr:g}" if r.trainable else "-",
            "yes" if r.checkpointed else "-",
        )
        for r in rows
    ]
    tensors, parameters, trainable = (sum(getattr(r, k) for r in rows) for k in _SUMMED)
    lines.append(("all", f"{tensors}", f"{parameters:,}", f"{trainable:,}", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def params(rows: Sequence[PartSummary]) -> dict[str, int]:
    """The sums as parameters of the MLflow run; the table is a file of it."""
    return {
        "parameters": sum(r.parameters for r in rows),
        "parameters.trainable": sum(r.trainable for r in rows),
    }


_SUMMED: Final = ("tensors", "parameters", "trainable")


def _row(name: str, owned: Iterable[nn.Parameter], total: int, lr: float, checkpointed: bool) -> PartSummary:
    parameters = list(owned)
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return PartSummary(
        part=name,
        tensors=len(parameters),
        parameters=sum(p.numel() for p in parameters),
        trainable=trainable,
        share=trainable / total if total else 0.0,
        lr=lr if trainable else 0.0,
        checkpointed=checkpointed,
    )
