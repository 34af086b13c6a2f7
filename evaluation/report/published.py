"""Published numbers, from ``published.toml``: the paper's tables, and what is known of their protocols."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

NOTHING: Final = "-"
REPORTED: Final = "reported"  # the protocol of a number of which none is known


@dataclass(frozen=True, kw_only=True)
class Column:
    """Its head, the metric of ours below it, and the type of question (or how that begins); empty: all."""

    head: str
    metric: str
    category: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns of one benchmark. ``mode`` and ``hidden`` tell two uses of a family apart; None: any.

    ``doubts`` say by head why no number of the column can be relied on.
    """

    family: str
    columns: tuple[Column, ...]
    title: str = ""
    mode: str | None = None
    hidden: bool | None = None
    doubts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """The numbers of a model as printed, by block; ``doubts`` by head. ``source`` is where they stand."""

    model: str
    source: str
    protocol: str
    values: tuple[tuple[str, ...], ...]
    doubts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """A table of the paper. ``differs`` says why its numbers are of another protocol than any of ours."""

    name: str
    title: str
    unit: str
    blocks: tuple[Block, ...]
    rows: tuple[PublishedRow, ...]
    differs: str = ""


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """All of them, in the paper's order. Raises ValueError for a row that does not fit its columns."""
    content = tomllib.loads(files("evaluation.report").joinpath("published.toml").read_text("utf-8"))
    return tuple(_table(dict(raw)) for raw in content["tables"])


def _table(raw: dict[str, Any]) -> PublishedTable:
    blocks = tuple(_block(dict(block)) for block in raw.pop("blocks"))
    rows = tuple(_row(dict(row), blocks) for row in raw.pop("rows"))
    return PublishedTable(**raw, blocks=blocks, rows=rows)


def _block(raw: dict[str, Any]) -> Block:
    columns = []
    for text in raw.pop("columns"):
        head, metric, category = (part.strip() for part in text.split("|"))
        columns.append(Column(head=head, metric=metric, category=category))
    return Block(**raw, columns=tuple(columns))


def _row(raw: dict[str, Any], blocks: tuple[Block, ...]) -> PublishedRow:
    values = tuple(tuple(part.split()) for part in raw.pop("values").split("|"))
    if [len(part) for part in values] != [len(block.columns) for block in blocks]:
        raise ValueError(f"the published numbers of {raw['model']} do not fit their columns")
    for number in (number for part in values for number in part if number != NOTHING):
        float(number)
    return PublishedRow(**raw, values=values)
