"""The page: one HTML file with everything inside it, so that it can be mailed and viewed offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.metrics.aggregate import Unit
from evaluation.report import charts
from evaluation.report.examples import Example, State
from evaluation.report.pictures import Colours
from evaluation.report.script import SCRIPT
from evaluation.report.style import CSS
from evaluation.report.table import Line, Table, baseline_text, cell_text, failures_text, value_text
from evaluation.report.template import TEMPLATE
from pipeline.page.render import render_page

History = Mapping[str, Sequence[tuple[int, float]]]

LOOK = {State.RIGHT: "up", State.WRONG: "down", State.FAILED: "failed", State.UNSCORED: "flat"}

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


def render(page: Page) -> str:
    """The page as HTML. All text is escaped; it refers to nothing outside itself."""
    return render_page(
        TEMPLATE,
        css=CSS,
        filters={
            "value": value_text,
            "failures": failures_text,
            "baseline": baseline_text,
            "cell": cell_text,
        },
        change=change,
        choices=choices(page.sections),
        groups=groups,
        highlights=highlights,
        look=LOOK,
        page=page,
        rgb=rgb,
        script=SCRIPT,
        states=states,
        table=page.table,
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


def states(example: Example, labels: Sequence[str]) -> str:
    """The state of each checkpoint's answer, in the order of the checkpoints; ``none`` without an answer."""
    found = {answer.label: answer.state for answer in example.answers}
    return " ".join(found.get(label, "none") for label in labels)


def rgb(colours: Colours, kind: str) -> str:
    """A colour of a sample's outlines for CSS."""
    return f"rgb{getattr(colours, kind)}"


def change(line: Line) -> tuple[str, str]:
    """Difference of the last and the first column in points or marks, and whether it is up, down or flat."""
    first, last = line.values[0], line.values[-1]
    if first is None or last is None or len(line.values) < 2:
        return "", "flat"
    if line.unit == Unit.MARK:
        marks = last - first
        return f"{marks:+.2f}", "up" if marks >= 0.005 else "down" if marks <= -0.005 else "flat"
    points = 100 * (last - first)
    return f"{points:+.1f}", "up" if points >= 0.05 else "down" if points <= -0.05 else "flat"


def groups(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Lines that belong together: one benchmark, or one task of it."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.benchmark, line.category), []).append(line)
    return [{"benchmark": b, "category": c, "lines": group} for (b, c), group in found.items()]


def highlights(table: Table) -> list[Line]:
    """The one number of each benchmark or task that the top of the page shows."""
    wanted = ("accuracy", "tIoU", "J&F", "Avg")
    out = []
    for group in groups(table.headlines):
        lines = [line for line in group["lines"] if not line.state]
        best = [line for name in wanted for line in lines if line.metric == name]
        out += best[:1]
    return out
