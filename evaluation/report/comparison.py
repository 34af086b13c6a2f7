"""Checkpoints in pairs on the same samples: what ``ufvideo compare`` computes, for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from evaluation.compare.difference import Difference, differences
from evaluation.compare.output import interval, number
from evaluation.compare.pair import Pair, pair_sides
from evaluation.compare.side import Side
from evaluation.report.verdict import sample_score

TIE = 0.01  # of the full score: answers that differ by less are the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The difference of one metric in words, and as percent of an axis whose middle is zero."""

    metric: str
    a: str
    b: str
    difference: str
    interval: str
    verdict: str
    samples: int
    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A benchmark, or a task of it, with how many of its samples got better and worse."""

    benchmark: str
    category: str
    better: int
    worse: int
    same: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Checkpoint ``b`` against ``a``, by label."""

    a: str
    b: str
    groups: tuple[Group, ...]


def comparisons(sides: Mapping[str, Side]) -> tuple[Comparison, ...]:
    """The last checkpoint against the first, then each against the one before it, where there are more."""
    labels = list(sides)
    wanted = [(labels[0], labels[-1])] if len(labels) > 1 else []
    if len(labels) > 2:
        wanted += pairwise(labels)
    made = (_comparison(a, b, sides[a], sides[b]) for a, b in wanted)
    return tuple(one for one in made if one.groups)


def _comparison(a: str, b: str, first: Side, second: Side) -> Comparison:
    shared = [name for name in first.scores if first.scores[name].keys() & second.scores.get(name, {}).keys()]
    if not shared:  # the truth of every benchmark is hidden
        return Comparison(a=a, b=b, groups=())
    groups = []
    for pair in pair_sides(first, second)[0]:
        found: dict[str, list[Difference]] = {}
        for one in differences(pair, headlines=True):
            found.setdefault(one.category, []).append(one)
        groups += [_group(pair, category, lines) for category, lines in found.items()]
    return Comparison(a=a, b=b, groups=tuple(groups))


def _group(pair: Pair, category: str, found: Sequence[Difference]) -> Group:
    changes = [
        change(sample_score(a), sample_score(b))
        for a, b in pair.shared
        if not category or a.category == category
    ]
    ends = [abs(end) for one in found for end in (one.difference, one.low, one.high) if end is not None]
    widest = max(ends, default=0.0) or 1.0
    return Group(
        benchmark=pair.entry,
        category=category,
        better=changes.count("better"),
        worse=changes.count("worse"),
        same=changes.count("same"),
        rows=tuple(_row(one, widest) for one in found),
    )


def change(a: float | None, b: float | None) -> str:
    """``better``, ``worse`` or ``same``; "" if one of the two is not scored. The page's script does alike."""
    if a is None or b is None:
        return ""
    if abs(b - a) < TIE - 1e-9:
        return "same"
    return "better" if b > a else "worse"


def _row(one: Difference, widest: float) -> Row:
    def place(value: float) -> float:
        return round(50 + 48 * value / widest, 2)

    verdict = "within the error"
    if one.low is None or one.high is None:
        verdict = "no interval"
    elif one.low > 0 or one.high < 0:
        verdict = "better" if one.low > 0 else "worse"
    elif one.low == one.high:
        verdict = "the same"
    return Row(
        metric=one.metric,
        a=number(one.a, one.unit),
        b=number(one.b, one.unit),
        difference=number(one.difference, one.unit, sign=True),
        interval=interval(one),
        verdict=verdict,
        samples=one.samples,
        at=place(one.difference),
        low=None if one.low is None else place(one.low),
        high=None if one.high is None else place(one.high),
    )
