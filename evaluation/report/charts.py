"""Inline SVG: curves over training steps, and spans on a timeline. Colours are the page's variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[int, float]

_WIDTH, _HEIGHT = 300, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 20
_SMOOTHING = 0.9
_MAX_POINTS = 400  # of a drawn line; more than one per pixel only makes the page heavy


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """Spans in seconds on a line of their own; ``kind`` chooses their colour: true or made.

    ``more`` are further ones beside ``span``.
    """

    name: str
    span: tuple[float, float] | None
    kind: str
    more: tuple[tuple[float, float], ...] = ()


def curve(title: str, points: Sequence[Point], *, smooth: bool = True) -> str:
    """A curve, with a text for screen readers.

    With ``smooth``, raw values are faint and a running mean strong; without, the values are drawn as they
    are: a learning rate is not noisy, and its running mean would be a schedule that nobody ran.
    """
    points = [p for p in points if p[1] == p[1] and abs(p[1]) != float("inf")]
    if not points:
        return ""
    steps, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(values), max(values)
    if low >= 0 and high > 0:
        low = 0.0
    span_x, span_y = max(steps[-1] - steps[0], 1), (high - low) or 1.0

    def place(step: int, value: float) -> str:
        x = _LEFT + (step - steps[0]) / span_x * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (high - value) / span_y * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    raw = " ".join(place(*p) for p in _thinned(points))
    mean = list(zip(steps, _running_mean(values), strict=True)) if smooth else points
    strong = " ".join(place(*p) for p in _thinned(mean))
    faint = f'<polyline class="raw" points="{raw}"/>' if smooth else ""
    base = _HEIGHT - _BOTTOM
    alt = f"{title}: from {values[0]:.4g} at step {steps[0]} to {values[-1]:.4g} at step {steps[-1]}"
    alt = escape(alt, quote=True)
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{alt}">'
        f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}"/>'
        f'<line class="grid" x1="{_LEFT}" y1="{_TOP}" x2="{_WIDTH - _RIGHT}" y2="{_TOP}"/>'
        f'<text x="{_LEFT - 5}" y="{_TOP + 4}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{_LEFT - 5}" y="{base}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 5}">{steps[0]}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}" text-anchor="end">step {steps[-1]}</text>'
        f'{faint}<polyline class="smooth" points="{strong}"/></svg>'
    )


def spans(bars: Sequence[Bar], duration_s: float) -> str:
    """Spans one below the other on the same timeline; a missing or reversed one is described in words."""
    left, width, row = 120, 640, 24
    scale = (width - left - 12) / duration_s
    height = row * len(bars) + 22
    parts, labels = [], []
    for number, bar in enumerate(bars):
        y = row * number + 4
        parts.append(f'<text x="0" y="{y + 13}">{escape(bar.name)}</text>')
        parts.append(
            f'<rect class="lane" x="{left}" y="{y}" width="{width - left - 12}" height="16" rx="4"/>'
        )
        if bar.span is None or bar.span[1] <= bar.span[0]:
            why = "none" if bar.span is None else f"{bar.span[0]:.1f} to {bar.span[1]:.1f} s is not a span"
            parts.append(f'<text class="missing" x="{left + 8}" y="{y + 12}">{why}</text>')
            labels.append(f"{bar.name}: {why}")
            continue
        drawn = [bar.span, *(one for one in bar.more if one[1] > one[0])]
        for one in drawn:
            start, end = (min(max(t, 0.0), duration_s) for t in one)
            parts.append(
                f'<rect class="{bar.kind}" x="{left + start * scale:.1f}" y="{y}" '
                f'width="{max((end - start) * scale, 2):.1f}" height="16" rx="4"/>'
            )
        labels.append(f"{bar.name}: " + ", ".join(f"{a:.1f} to {b:.1f} s" for a, b in drawn))
    parts.append(f'<text x="{left}" y="{height - 4}">0 s</text>')
    parts.append(f'<text x="{width - 12}" y="{height - 4}" text-anchor="end">{duration_s:.1f} s</text>')
    alt = escape("; ".join(labels), quote=True)
    head = f'<svg class="spans" viewBox="0 0 {width} {height}" role="img" aria-label="{alt}">'
    return head + "".join(parts) + "</svg>"


def _running_mean(values: Sequence[float]) -> list[float]:
    """Exponential mean, corrected for its start."""
    out, total, weight = [], 0.0, 0.0
    for value in values:
        total = _SMOOTHING * total + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        out.append(total / weight)
    return out


def _thinned(points: Sequence[Point]) -> list[Point]:
    if len(points) <= _MAX_POINTS:
        return list(points)
    last = len(points) - 1
    return [points[round(i * last / (_MAX_POINTS - 1))] for i in range(_MAX_POINTS)]
