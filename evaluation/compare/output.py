"""What ``ufvideo compare`` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from evaluation.compare.difference import Difference
from evaluation.compare.pair import Pair
from evaluation.compare.side import Side
from evaluation.metrics.aggregate import Unit

NAMED = 3  # samples without a partner that are named on the screen; --json has all
PIPE_WIDTH = 200  # lines are not wrapped in a pipe


def content(
    a: Side, b: Side, pairs: Sequence[Pair], found: Sequence[Difference], notes: Sequence[str]
) -> Any:
    """Everything as plain data."""
    return {
        **{name: {"place": side.place, "made_from": side.made_from} for name, side in (("a", a), ("b", b))},
        "benchmarks": {
            pair.entry: {
                "names": list(pair.names),
                "family": pair.family,
                "shared": len(pair.shared),
                "only_a": list(pair.only_a),
                "only_b": list(pair.only_b),
                "notes": list(pair.notes),
            }
            for pair in pairs
        },
        "differences": [asdict(one) for one in found],
        "notes": [*notes, *source_notes(a, b)],
    }


def show(a: Side, b: Side, pairs: Sequence[Pair], found: Sequence[Difference], notes: Sequence[str]) -> None:
    """The table, then notes on how to read it."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for name, side in (("A", a), ("B", b)):
        console.print(f"{name}: {side.place}", markup=False)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("benchmark", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("A", "B", "B - A", "95%", "samples", "only\nA right", "only\nB right"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for one in found:
        group = f"{one.benchmark} {one.category}".strip()
        if last and group != last:
            table.add_section()
        table.add_row(
            "" if group == last else Text(group),
            Text(one.metric),
            number(one.a, one.unit),
            number(one.b, one.unit),
            Text(number(one.difference, one.unit, sign=True), _style(one)),
            interval(one),
            f"{one.samples:,}",
            *("" if count is None else f"{count:,}" for count in (one.only_a_right, one.only_b_right)),
        )
        last = group
    console.print(table)
    console.print(
        "In percent, marks as they are, over the samples that both have; the interval is that of the "
        "difference, with the samples of one video as one draw."
    )
    for note in [*notes, *source_notes(a, b), *_pair_notes(pairs), *_mark_notes(found)]:
        console.print(note, markup=False)


def number(value: float, unit: str, *, sign: bool = False) -> str:
    """A share in percent with one decimal, a mark with two."""
    text = f"{value:+.2f}" if unit == Unit.MARK else f"{100 * value:+.1f}"
    return text if sign else text.lstrip("+")


def interval(one: Difference) -> str:
    """``-1.2 to +3.4``, or why there is none."""
    if one.low is None or one.high is None:
        return "one video"
    return " to ".join(number(end, one.unit, sign=True) for end in (one.low, one.high))


def source_notes(a: Side, b: Side) -> list[str]:
    """Whether both were scored against one dataset, as far as their files say."""
    truths = [side.made_from.get("dataset") for side in (a, b)]
    if not all(truths) or truths[0] == truths[1]:
        return []
    return [
        f"The two were scored against different datasets ({truths[0]}, {truths[1]}): the truth of a sample "
        "may differ."
    ]


def _style(one: Difference) -> str:
    """Coloured if the interval excludes zero."""
    if one.low is None or one.high is None or one.low <= 0 <= one.high:
        return ""
    return "green" if one.low > 0 else "red"


def _pair_notes(pairs: Sequence[Pair]) -> Iterator[str]:
    for pair in pairs:
        yield from (f"{pair.entry}: {note}" for note in pair.notes)
        for label, keys in (("A", pair.only_a), ("B", pair.only_b)):
            if keys:
                more = f" and {len(keys) - NAMED} more (--json names all)" if len(keys) > NAMED else ""
                named = "; ".join(keys[:NAMED]) + more
                yield f"{pair.entry}: {len(keys)} samples in {label} alone: {named}"


def _mark_notes(found: Sequence[Difference]) -> Iterator[str]:
    for one in found:
        if one.without_a or one.without_b:
            yield (
                f"{one.benchmark}, {one.metric}: {one.without_a} shared samples have no mark in A, "
                f"{one.without_b} none in B"
            )
