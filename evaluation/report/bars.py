"""What the page draws as bars: values with their errors and baselines, outcomes, and distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from evaluation.compare.side import Side
from evaluation.metrics.aggregate import Score, Unit
from evaluation.report.table import Line, Table, cell_text, number_text
from evaluation.report.verdict import FULL_MARK, State, measures, state

PRINCIPAL = ("accuracy", "tIoU", "J&F", "mAP", "Avg")
BINS = 10
_HEIGHT, _TOP, _AXIS = 96, 14, 16  # pixels of a histogram


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A value with its standard error, as percent of the axis; ``text`` says both in the metric's unit."""

    label: str
    text: str
    end: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BarGroup:
    """One metric under every checkpoint; ``task`` is a category that the samples can be filtered by."""

    name: str
    task: str
    bars: tuple[Bar, ...]
    baseline: float | None
    baseline_text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """Per checkpoint, how many samples came to which state; states that none has are left out."""

    label: str
    counts: Mapping[str, int]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """The scores of a checkpoint's answers in ten bins, as SVG."""

    label: str
    svg: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Everything about one benchmark. ``histograms`` by measure; none for measures that are only 0 or 1."""

    benchmark: str
    groups: tuple[BarGroup, ...]
    outcomes: tuple[Outcomes, ...] = ()
    histograms: tuple[tuple[str, tuple[Histogram, ...]], ...] = ()


def charts_of(table: Table, sides: Mapping[str, Side]) -> tuple[Chart, ...]:
    """One for each benchmark that has a value. ``sides`` are the scores of every checkpoint, by label."""
    made = []
    for benchmark in dict.fromkeys(line.benchmark for line in table.lines):
        lines = [line for line in table.lines if line.benchmark == benchmark and line.main]
        groups = tuple(_group(line, table.labels) for line in _chosen(lines))
        if groups:
            scores = {label: list(side.scores.get(benchmark, {}).values()) for label, side in sides.items()}
            made.append(
                Chart(
                    benchmark=benchmark,
                    groups=groups,
                    outcomes=tuple(_outcomes(label, found) for label, found in scores.items() if found),
                    histograms=tuple(_histograms(scores)),
                )
            )
    return tuple(made)


def _chosen(lines: Sequence[Line]) -> Iterator[Line]:
    """The main table's lines, then the principal metric of every category."""
    first = next((name for name in PRINCIPAL if any(line.metric == name for line in lines)), "")
    for line in lines:
        if any(value is not None for value in line.values) and (line.headline or line.metric == first):
            yield line


def _group(line: Line, labels: Sequence[str]) -> BarGroup:
    full = FULL_MARK if line.unit == Unit.MARK else 1.0

    def place(value: float) -> float:
        return round(100 * min(max(value / full, 0.0), 1.0), 2)

    bars = []
    for at, (label, value) in enumerate(zip(labels, line.values, strict=True)):
        error = line.errors[at] if line.errors else None
        known = value is not None and error is not None
        bars.append(
            Bar(
                label=label,
                text=cell_text(line, at),
                end=place(value or 0.0),
                low=place(value - error) if known else None,  # type: ignore[operator]
                high=place(value + error) if known else None,  # type: ignore[operator]
            )
        )
    name = " · ".join(part for part in (line.category, line.metric) if part)
    return BarGroup(
        name=name,
        task=line.category,
        bars=tuple(bars),
        baseline=None if line.baseline is None else place(line.baseline),
        baseline_text=number_text(line.baseline, line.unit),
    )


def _outcomes(label: str, scores: Sequence[Score]) -> Outcomes:
    found = Counter(state(score) for score in scores)
    return Outcomes(
        label=label, counts={s.value: found[s] for s in State if found[s]}, total=sum(found.values())
    )


def _histograms(scores: Mapping[str, Sequence[Score]]) -> Iterator[tuple[str, tuple[Histogram, ...]]]:
    """Of every measure with values between 0 and 1."""
    values: dict[str, dict[str, list[tuple[float, bool]]]] = {}
    for label, found in scores.items():
        for score in found:
            for name, value in measures(score).items():
                values.setdefault(name, {}).setdefault(label, []).append((value, bool(score.failure)))
    for name, by_label in values.items():
        if {value for found in by_label.values() for value, _ in found} <= {0.0, 1.0}:
            continue
        drawn = (
            Histogram(label=label, svg=histogram(f"{name}, {label}", found))
            for label, found in by_label.items()
        )
        yield name, tuple(drawn)


def histogram(title: str, values: Sequence[tuple[float, bool]]) -> str:
    """Values in 0-1, each with whether it is a failure's: ten bins, failures as a dashed part on top."""
    used, failed = [0] * BINS, [0] * BINS
    for value, is_failure in values:
        at = min(int(value * BINS + 1e-9), BINS - 1)
        (failed if is_failure else used)[at] += 1
    most = max(max(a + b for a, b in zip(used, failed, strict=True)), 1)
    base, width = _HEIGHT - _AXIS, 100 / BINS
    parts, descriptions = [], []
    for at, (a, b) in enumerate(zip(used, failed, strict=True)):
        if not a + b:
            continue
        x, unit = at * width + 0.6, (base - _TOP) / most
        place = f'x="{x:.1f}%" width="{width - 1.2:.1f}%"'
        parts.append(f'<rect class="bin" {place} y="{base - unit * a:.1f}" height="{unit * a:.1f}"/>')
        if b:
            y = base - unit * (a + b)
            parts.append(f'<rect class="bin failed" {place} y="{y:.1f}" height="{unit * b:.1f}"/>')
        middle, top = at * width + width / 2, base - unit * (a + b) - 3
        parts.append(f'<text x="{middle:.1f}%" y="{top:.1f}" text-anchor="middle">{a + b}</text>')
        descriptions.append(
            f"{10 * at} to {10 * at + 10}: {a + b} samples" + (f", {b} of them failures" if b else "")
        )
    parts.append(f'<line class="axis" x1="0" x2="100%" y1="{base}" y2="{base}"/>')
    for x, anchor in ((0, "start"), (50, "middle"), (100, "end")):
        parts.append(f'<text x="{x}%" y="{_HEIGHT - 3}" text-anchor="{anchor}">{x}</text>')
    alt = escape(f"{title}: " + "; ".join(descriptions), quote=True)
    head = f'<svg class="bins" style="height:{_HEIGHT}px" role="img" aria-label="{alt}">'
    return head + "".join(parts) + "</svg>"
