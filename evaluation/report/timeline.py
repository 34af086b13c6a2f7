"""Spans on a time line in seconds, as SVG that keeps the size of its text at every width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW, _LANE, _AXIS = 38, 14, 24  # heights in pixels
_TICKS = 6  # at most
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Spans (start, end) in seconds on a line of their own. ``true``: the truth's, else an answer's."""

    name: str
    spans: tuple[tuple[float, float], ...]
    true: bool = False


def timeline(rows: Sequence[Row], duration_s: float) -> str:
    """Rows one below the other over one axis; a missing or reversed span is described in words.

    A video whose length is not known ends with the last span.
    """
    ends = [end for row in rows for span in row.spans for end in span]
    length = duration_s if duration_s > 0 else max([0.0, *ends]) or 1.0
    parts, descriptions = [], []
    for number, row in enumerate(rows):
        y = _ROW * number
        words = "; ".join(_words(span) for span in row.spans) or "no span"
        descriptions.append(f"{row.name}: {words}")
        parts.append(f'<text x="0" y="{y + 13}"><tspan class="who">{escape(row.name)}</tspan> {words}</text>')
        parts.append(f'<rect class="lane" x="0" y="{y + 19}" width="100%" height="{_LANE}"/>')
        for start, end in (span for span in row.spans if span[1] > span[0]):
            first, last = (100 * min(max(t / length, 0.0), 1.0) for t in (start, end))
            kind = "true" if row.true else "made"
            parts.append(
                f'<rect class="{kind}" x="{first:.2f}%" y="{y + 19}" '
                f'width="{max(last - first, 0.4):.2f}%" height="{_LANE}"/>'
            )
    base = _ROW * len(rows)
    for at in _ticks(length):
        x = 100 * at / length
        anchor = "start" if x < 4 else "end" if x > 96 else "middle"
        parts.append(f'<line class="axis" x1="{x:.2f}%" y1="{base}" x2="{x:.2f}%" y2="{base + 5}"/>')
        parts.append(f'<text x="{x:.2f}%" y="{base + 17}" text-anchor="{anchor}">{at:g} s</text>')
    parts.append(f'<line class="axis" x1="0" y1="{base}" x2="100%" y2="{base}"/>')
    alt = escape(f"time line of {length:.1f} s; " + "; ".join(descriptions), quote=True)
    head = f'<svg class="spans" height="{base + _AXIS}" role="img" aria-label="{alt}">'
    return head + "".join(parts) + "</svg>"


def _words(span: tuple[float, float]) -> str:
    start, end = span
    return f"{start:.1f} to {end:.1f} s" + (" is not a span" if end <= start else "")


def _ticks(length: float) -> list[float]:
    step = next((s for s in _STEPS if length / s <= _TICKS), length / _TICKS)
    return [round(n * step, 3) for n in range(int(length / step + 1e-9) + 1)]
