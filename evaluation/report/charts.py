"""Inline SVG: curves over training steps. Colours are the page's variables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Point = tuple[int, float]

_WIDTH, _HEIGHT = 300, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 20
_SMOOTHING = 0.9
_MAX_POINTS = 400  # of a drawn line; more than one per pixel only makes the page heavy


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


def _running_mean(values: Sequence[float]) -> list[float]:
    """Exponential mean, corrected for its start."""
    out, total, weight = [], 0.0, 0.0
    for value in values:
        total = _SMOOTHING * total + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        out.append(total / weight)
    return out


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most ``_MAX_POINTS`` points: of every stretch its lowest and highest, so that no peak is lost."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    stretches, kept = _MAX_POINTS // 2 - 1, {points[0], points[-1]}
    for n in range(stretches):
        own = points[n * len(points) // stretches : (n + 1) * len(points) // stretches]
        kept |= {min(own, key=lambda p: p[1]), max(own, key=lambda p: p[1])}
    return sorted(kept)
