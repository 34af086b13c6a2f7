"""The page: one HTML file with everything inside it, so that it can be mailed and viewed offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from evaluation.metrics.aggregate import Unit
from evaluation.report import charts
from evaluation.report.article import Articles, index, page_json
from evaluation.report.bars import PRINCIPAL, Chart
from evaluation.report.comparison import Comparison
from evaluation.report.examples import Example
from evaluation.report.script import SCRIPT
from evaluation.report.style import CSS
from evaluation.report.table import (
    Line,
    Table,
    baseline_text,
    cell_text,
    error_text,
    failures_text,
    value_text,
    without_repeats,
)
from evaluation.report.template import TEMPLATE
from evaluation.report.verdict import SYMBOLS, State
from pipeline.page.render import render_page

History = Mapping[str, Sequence[tuple[int, float]]]

CURVES = {
    "loss/text": "Text loss",
    "loss/bce": "Mask loss, cross-entropy",
    "loss/dice": "Mask loss, Dice",
    "lr": "Learning rate",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One training stage and what its run logged."""

    name: str
    label: str
    history: History

    @property
    def curves(self) -> list[tuple[str, str]]:
        """Title and SVG of every curve that was logged."""
        drawn = [
            (title, charts.curve(f"{self.label}, {title}", self.history.get(name, ()), smooth=name != "lr"))
            for name, title in CURVES.items()
        ]
        return [(title, svg) for title, svg in drawn if svg]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Examples of one benchmark."""

    name: str
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Everything that the page shows."""

    title: str
    table: Table
    stages: tuple[Stage, ...]
    sections: tuple[Section, ...]
    provenance: tuple[tuple[str, str], ...]
    plan: str
    charts: tuple[Chart, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


def render(page: Page) -> str:
    """The page as HTML. All text is escaped; it refers to nothing outside itself.

    Samples stand in it as JSON, and only the part of the page that is looked at becomes elements: with 1,000
    samples a page opens as fast as with ten.
    """
    articles = Articles()
    return render_page(
        TEMPLATE,
        css=CSS,
        filters={
            "value": value_text,
            "failures": failures_text,
            "baseline": baseline_text,
            "cell": cell_text,
            "error": error_text,
            "query": lambda values: urlencode({k: v for k, v in values.items() if v}),
        },
        change=lambda line: change(line, page.comparisons),
        choices=choices(page.sections),
        groups=groups,
        highlights=highlights,
        index=page_json(index([(s.name, s.examples) for s in page.sections], page.table.labels)),
        lines=list(without_repeats([line for line in page.table.headlines if line.main])),
        other_lines=list(without_repeats([line for line in page.table.headlines if not line.main])),
        page=page,
        script=SCRIPT,
        stored=(articles.stored(e) for section in page.sections for e in section.examples),
        symbols=SYMBOLS,
        table=page.table,
        numbered=lambda labels: [(str(n), label) for n, label in enumerate(labels)],
        zipped=lambda values: [(value, value) for value in values],
    )


def choices(sections: Sequence[Section]) -> dict[str, list[str]]:
    """What the samples can be filtered by, each in the order of the page."""
    shown = [(section.name, e) for section in sections for e in section.examples]
    found = {answer.state for _, e in shown for answer in e.answers}
    return {
        "benchmarks": list(dict.fromkeys(name for name, _ in shown)),
        "tasks": sorted({e.category for _, e in shown if e.category}),
        "states": [state for state in State if state in found],
    }


def change(line: Line, compared: Sequence[Comparison] = ()) -> tuple[str, str]:
    """Difference of the last and the first column in points or marks, and whether it is up, down or flat.

    Where the checkpoints were compared, a difference within its error is flat, however large.
    """
    first, last = line.values[0], line.values[-1]
    if first is None or last is None or len(line.values) < 2:
        return "", "flat"
    mark = line.unit == Unit.MARK
    difference, least = (last - first, 0.005) if mark else (100 * (last - first), 0.05)
    text = f"{difference:+.2f}" if mark else f"{difference:+.1f}"
    trend = {
        (group.benchmark, group.category, row.metric): row.verdict
        for one in compared[:1]
        for group in one.groups
        for row in group.rows
    }.get((line.benchmark, line.category, line.metric))
    if abs(difference) < least or trend not in (None, "better", "worse", "no interval"):
        return text, "flat"
    return text, "up" if difference > 0 else "down"


def groups(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Lines that belong together: one benchmark, or one task of it."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.benchmark, line.category), []).append(line)
    return [{"benchmark": b, "category": c, "lines": group} for (b, c), group in found.items()]


def highlights(table: Table) -> list[Line]:
    """The one number of each benchmark or task that the top of the page shows."""
    out = []
    for group in groups(table.headlines):
        lines = [line for line in group["lines"] if not line.state]
        best = [line for name in PRINCIPAL for line in lines if line.metric == name]
        out += best[:1]
    return out
