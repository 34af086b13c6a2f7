"""Histograms of tallies: an axis with round edges, and inline SVG. Colours are the page's variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from datasets_prep.card.measures import Measure
from datasets_prep.card.tally import Tally

_WIDTH, _PANEL, _FOOT, _HEAD = 320, 56, 20, 22
_BARS = 24  # at most about this many
_SKEWED = 12  # ratio of largest value to median above which bars grow with the value
_LABELS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Edges of bars in ticks, ascending. All bars are drawn with equal width, even if their ranges grow."""

    edges: tuple[int, ...]
    labelled: tuple[int, ...]  # indices of the edges, or of the bars, that carry their value
    each: bool = False  # one bar is one whole number, and its label stands below its middle


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One row of bars; ``kind`` determines its colour: train or bench."""

    kind: str
    name: str
    tally: Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """The numbers of a distribution: its median, its 5th to 95th percentile, and its range."""

    median: str
    middle: str
    whole: str
    count: int
    unit: str

    @property
    def text(self) -> str:
        """In one line: ``median 8.1 s, 5–95 %: 3.9 to 19 s, all: 3.5 to 20 s, 120 values``."""
        values = f"{self.count:,} value{'s' * (self.count != 1)}"
        if not self.whole:
            return f"{self.median}, {values}"
        spread = f"5–95 %: {self.middle}{self.unit}, all: {self.whole}{self.unit}"
        return f"median {self.median}{self.unit}, {spread}, {values}"


def make_axis(measure: Measure, tally: Tally) -> Axis:
    """The axis on which all values of a tally are drawn. The tally must not be empty."""
    if measure.whole_range:
        step = 5 * measure.per_unit
        return Axis(edges=tuple(range(0, 20 * step + 1, step)), labelled=(0, 5, 10, 15, 20))
    counted = measure.per_unit == 1
    low = 0 if measure.letters else tally.low
    if counted and tally.high - low <= _BARS:
        edges = tuple(range(low, tally.high + 2))
        every = -(-(len(edges) - 1) // 12)
        return Axis(edges=edges, labelled=tuple(range(0, len(edges) - 1, every)), each=True)
    if tally.high > _SKEWED * max(tally.quantile(0.5), 1):
        return _growing(tally)
    start = tally.low if tally.low > tally.high / 2 and tally.low < tally.high else 0
    step = _round_up((tally.high - start) / _BARS, tally.coarse)
    start -= start % step
    edges = tuple(range(start, _past(tally.high, step, counted) + 1, step))
    every = _round_up(len(edges) / _LABELS, 1)
    labelled = tuple(i for i, edge in enumerate(edges) if not edge % (every * step))
    return Axis(edges=edges, labelled=labelled)


def histogram(measure: Measure, axis: Axis, panels: Sequence[Panel]) -> str:
    """Rows of bars over one axis, each with a scale of its own, with a text for screen readers."""
    height = len(panels) * (_PANEL + _HEAD) + _FOOT
    parts = []
    bars = len(axis.edges) - 1
    wide = _WIDTH / bars
    for number, panel in enumerate(panels):
        counts = panel.tally.between(axis.edges)
        most = max(counts)
        base = (number + 1) * (_HEAD + _PANEL)
        name = f'<text x="0" y="{base - _PANEL - 5}">{escape(panel.name)}</text>'
        scale = f'<text x="{_WIDTH}" y="{base - _PANEL - 5}" text-anchor="end">highest bar {most:,}</text>'
        parts.append(name + scale)
        for at, count in enumerate(counts):
            if count:
                tall = max(_PANEL * count / most, 1)
                label = f"{_range(measure, axis, at)}: {count:,} ({100 * count / sum(counts):.3g} %)"
                parts.append(
                    f'<rect class="{panel.kind}" x="{at * wide + 0.5:.1f}" y="{base - tall:.1f}" '
                    f'width="{max(wide - 1, 1):.1f}" height="{tall:.1f}">'
                    f"<title>{escape(label)}</title></rect>"
                )
        parts.append(f'<line class="axis" x1="0" y1="{base}" x2="{_WIDTH}" y2="{base}"/>')
    for at in axis.labelled:
        x = (at + 0.5 * axis.each) * wide
        anchor = "middle" if axis.each else "start" if at == 0 else "end" if at == bars else "middle"
        text = measure.exact(axis.edges[at])
        parts.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="{anchor}">{text}</text>')
    alt = "; ".join(f"{p.name}: {statistics(measure, p.tally).text}" for p in panels)
    head = f'<svg class="bars" viewBox="0 0 {_WIDTH} {height}" role="img" '
    return head + f'aria-label="{escape(f"{measure.title}. {alt}", quote=True)}">' + "".join(parts) + "</svg>"


def spark(measure: Measure, axis: Axis, panel: Panel) -> str:
    """A sparkline: a small histogram on the axis of the large one."""
    counts = panel.tally.between(axis.edges)
    wide, tall = 84 / len(counts), 22
    path = ""
    for at, count in enumerate(counts):
        if count:
            high = max(tall * count / max(counts), 1)
            path += f"M{at * wide:.1f} {tall}v-{high:.1f}h{max(wide - 0.4, 0.8):.1f}v{high:.1f}z"
    alt = escape(f"{measure.title}, {panel.name}: {statistics(measure, panel.tally).text}", quote=True)
    return (
        f'<svg class="spark" viewBox="0 0 84 {tall}" role="img" aria-label="{alt}"><title>{alt}</title>'
        f'<path class="{panel.kind}" d="{path}"/></svg>'
    )


def statistics(measure: Measure, tally: Tally) -> Statistics:
    """The numbers of a tally in the measure's unit. For options, the share of each instead."""
    if measure.letters:
        counts = tally.between(range(tally.low, tally.high + 2))
        named = [(measure.exact(tally.low + i), 100 * n / tally.count) for i, n in enumerate(counts)]
        shares = ", ".join(f"{name} {share:.0f} %" for name, share in named)
        return Statistics(median=shares, middle="", whole="", count=tally.count, unit="")
    median, low, high = (measure.text(tally.quantile(share)) for share in (0.5, 0.05, 0.95))
    return Statistics(
        median=median,
        middle=f"{low} to {high}",
        whole=f"{measure.text(tally.low)} to {measure.text(tally.high)}",
        count=tally.count,
        unit=f" {measure.unit}" if measure.unit else "",
    )


def _growing(tally: Tally) -> Axis:
    """Edges in about equal ratios, for values over several orders of magnitude."""
    wide = tally.high / max(tally.low, tally.coarse) > 300
    mantissas = (10, 20, 50) if wide else (10, 15, 20, 30, 50, 70)
    edges = [
        m * 10**power // 10
        for power in range(len(str(tally.high)) + 1)
        for m in mantissas
        if not m * 10**power % (10 * tally.coarse)
    ]
    first = max(sum(edge <= tally.low for edge in edges) - 1, 0)
    last = next(i for i, edge in enumerate(edges) if edge > tally.high)
    edges = edges[first : last + 1]
    if tally.low < edges[0]:
        edges.insert(0, 0)
    labelled: list[int] = []
    for first_digits in ("1", "1 3", "1 2 5", "1 2 3 5", "1 15 2 3 5 7"):
        found = [i for i, edge in enumerate(edges) if str(edge).rstrip("0") in first_digits.split()]
        if len(found) <= _LABELS + 2:
            labelled = found
    return Axis(edges=tuple(edges), labelled=tuple(labelled))


def _round_up(value: float, least: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is neither below ``value`` nor below ``least``."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step >= value and step >= least:
                return step
        power *= 10


def _past(high: int, step: int, counted: bool) -> int:
    """The last edge. Bars of counts exclude their end, so the last edge is above the largest number."""
    return (high // step + 1) * step if counted else max(-(-high // step), 1) * step


def _range(measure: Measure, axis: Axis, at: int) -> str:
    unit = f" {measure.unit}" if measure.unit else ""
    low, high = axis.edges[at], axis.edges[at + 1]
    if measure.per_unit == 1:
        high -= 1
    if low == high:
        return measure.exact(low) + unit
    return f"{measure.exact(low)}–{measure.exact(high)}{unit}"
