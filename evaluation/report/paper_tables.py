"""Our numbers in the paper's tables, beside the published ones.

A published number is marked where it is of another protocol than every number of ours in its table, and where
nobody can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report.published import NOTHING, Block, Column, PublishedRow, PublishedTable, published_tables
from evaluation.report.table import Line, Table, cell_text
from pipeline.plan.benchmarks import PromptStyle

EMPTY = "–"
ANOTHER, DOUBTFUL = "†", "?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A benchmark of the plan. ``mode`` is how many frames show the object: single or multi."""

    name: str
    family: str
    style: str
    mode: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRow:
    """A model or a checkpoint of ours. ``marks`` are ANOTHER, or nothing; cells have theirs in them."""

    label: str
    protocol: str
    samples: str
    cells: tuple[str, ...]
    ours: bool
    marks: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """``groups`` are the titles of neighbouring columns with their heads."""

    name: str
    title: str
    unit: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...]


def paper_tables(table: Table, entries: Sequence[Entry]) -> tuple[list[PaperTable], list[str]]:
    """The paper's tables of the benchmarks that were asked, and what the paper has besides."""
    made, besides = [], []
    for published in published_tables():
        all_asked = {at: _of(block, entries, table) for at, block in enumerate(published.blocks)}
        asked = {at: found for at, found in all_asked.items() if found}
        besides += [
            f"{published.title} {block.title}".strip()
            for at, block in enumerate(published.blocks)
            if at not in asked
        ]
        if asked:
            made.append(_paper_table(published, asked, table))
    return made, besides


def _of(block: Block, entries: Sequence[Entry], table: Table) -> list[Entry]:
    """The entries that are in a block."""
    out = []
    for entry in entries:
        lines = [line for line in table.lines if line.benchmark == entry.name]
        fits = block.mode in (None, entry.mode) and block.hidden in (None, any(line.state for line in lines))
        covered = any(_below(column, line) for column in block.columns for line in lines)
        if entry.family == block.family and fits and covered:
            out.append(entry)
    return out


def _paper_table(published: PublishedTable, asked: dict[int, list[Entry]], table: Table) -> PaperTable:
    blocks = {at: published.blocks[at] for at in asked}
    ours = list(_our_rows(blocks, asked, table))
    protocols = {row.protocol for row in ours}
    theirs, notes = [], []
    for row in published.rows:
        cells, doubts = _published_cells(row, blocks)
        if all(cell == EMPTY for cell in cells):
            continue
        another = bool(published.differs) or row.protocol not in protocols
        theirs.append(
            PaperRow(
                label=row.model,
                protocol=row.protocol,
                samples="",
                cells=cells,
                ours=False,
                marks=ANOTHER if another else "",
            )
        )
        notes += doubts
    if any(row.marks for row in theirs):
        why = published.differs or "how it was scored is not known, or another rule than those of our rows"
        notes.insert(0, f"{ANOTHER} another protocol than ours: {why}.")
    return PaperTable(
        name=published.name,
        title=published.title,
        unit=published.unit,
        groups=tuple((block.title, tuple(c.head for c in block.columns)) for block in blocks.values()),
        rows=(*theirs, *ours),
        notes=tuple(dict.fromkeys(notes)),
    )


def _published_cells(row: PublishedRow, blocks: dict[int, Block]) -> tuple[tuple[str, ...], list[str]]:
    cells, notes = [], []
    for at, block in blocks.items():
        for column, value in zip(block.columns, row.values[at], strict=True):
            doubt = block.doubts.get(column.head) or row.doubts.get(column.head)
            cells.append(EMPTY if value == NOTHING else f"{value}{DOUBTFUL if doubt else ''}")
            if doubt and value != NOTHING:
                name = f"{block.title} {column.head}".strip()
                who = "" if column.head in block.doubts else f" of {row.model}"
                notes.append(f"{DOUBTFUL} {name}{who}: {doubt}.")
    return tuple(cells), notes


def _our_rows(blocks: dict[int, Block], asked: dict[int, list[Entry]], table: Table) -> list[PaperRow]:
    """A row for each checkpoint and protocol; where a benchmark is asked several times, for each of these."""
    out = []
    times = max(map(len, asked.values()))
    for at, label in enumerate(table.labels):
        for turn in range(times):
            entries = {n: found[turn] for n, found in asked.items() if turn < len(found)}
            name = f"{label} ({', '.join(entry.name for entry in entries.values())})" if times > 1 else label
            styles = {entry.style for entry in entries.values()} - {str(PromptStyle.PUBLISHED)}
            for protocol in _protocols(blocks, entries, table):
                found = [
                    _line(table, entries[n], column, protocol) if n in entries else None
                    for n, block in blocks.items()
                    for column in block.columns
                ]
                counts = dict.fromkeys(f"{line.samples:,}" for line in found if line)
                out.append(
                    PaperRow(
                        label=name,
                        protocol=", ".join([protocol, *(f"asked as {style}" for style in sorted(styles))]),
                        samples=_range(list(counts)),
                        cells=tuple(cell_text(line, at) if line else EMPTY for line in found),
                        ours=True,
                    )
                )
    return out


def _protocols(blocks: dict[int, Block], entries: dict[int, Entry], table: Table) -> list[str]:
    """Every protocol under which we have a number for a column, as they come."""
    found = dict.fromkeys(
        line.protocol
        for n, entry in entries.items()
        for line in table.lines
        if line.benchmark == entry.name and any(_below(column, line) for column in blocks[n].columns)
    )
    return list(found)


def _line(table: Table, entry: Entry, column: Column, protocol: str) -> Line | None:
    """The line under a column: the metric itself, or its namesake by another rule ("J&F, UFVideo's ...")."""
    found = [
        line
        for line in table.lines
        if line.benchmark == entry.name and line.protocol == protocol and _below(column, line)
    ]
    exact = [line for line in found if line.metric == column.metric]
    return next(iter(exact or found), None)


def _below(column: Column, line: Line) -> bool:
    """Whether a line's number is one of this column."""
    right = line.metric == column.metric or line.metric.startswith(f"{column.metric}, ")
    if not column.category:
        return right and not line.category
    return right and line.category.casefold().startswith(column.category.casefold())


def _range(counts: Sequence[str]) -> str:
    """Numbers of samples that differ between columns: the smallest to the largest."""
    ordered = sorted(counts, key=lambda text: int(text.replace(",", "")))
    return " to ".join(dict.fromkeys((ordered[0], ordered[-1]))) if ordered else ""
