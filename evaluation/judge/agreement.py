"""How far a judge agrees with reference judgements of the same answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.judge.rubric import BEST, DIMENSIONS
from pipeline.errors import UserError
from pipeline.storage.location import Location


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Reference marks of an answer. Without ``benchmark`` of any entry, without ``answer`` of any answer."""

    key: str
    marks: Mapping[str, float]
    benchmark: str = ""
    answer: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Agreement on one dimension over ``answers``: of marks rounded to whole ones, except the difference.

    ``kappa`` is Cohen's with quadratic weights; None where both give everything the same mark.
    """

    dimension: str
    answers: int
    difference: float  # mean absolute
    exact: float  # share of equal marks
    kappa: float | None


def read_reference(place: Location) -> list[Reference]:
    """Reference marks: JSON lines with ``key``, ``marks`` by dimension, and optionally entry and answer.

    Raises UserError for any other line.
    """
    found = []
    for number, line in enumerate(place.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            marks = {d.short: float(row["marks"][d.short]) for d in DIMENSIONS}
            if not all(0 <= mark <= BEST for mark in marks.values()):
                raise ValueError(f"a mark is not between 0 and {BEST}")
            found.append(
                Reference(
                    key=str(row["key"]),
                    marks=marks,
                    benchmark=str(row.get("benchmark") or ""),
                    answer=row.get("answer"),
                )
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            names = ", ".join(f'"{d.short}": 4' for d in DIMENSIONS)
            raise UserError(
                f"{place.uri}, line {number}",
                f"is not a reference judgement ({error!r}).",
                f'A line is {{"key": "...", "marks": {{{names}}}}}; "benchmark" and "answer" may be added.',
            ) from None
    return found


def agreement(
    reference: Sequence[Reference], judged: Sequence[Mapping[str, Any]]
) -> tuple[list[Agreement], dict[str, int]]:
    """Agreement by dimension with the rows of ``judgements.jsonl``, and how many references were compared.

    A reference to an answer that has changed, has no marks or does not exist is counted and left out.
    """
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    for row in judged:
        by_key.setdefault(row["key"], []).append(row)
    counts = dict.fromkeys(("compared", "another answer", "not judged", "no such answer"), 0)
    pairs: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    for one in reference:
        rows = [r for r in by_key.get(one.key, ()) if one.benchmark in ("", r["benchmark"])]
        same = [r for r in rows if one.answer is None or r["answer"] == one.answer]
        marked = [r for r in same if r["marks"]]
        pairs += [(one.marks, r["marks"]) for r in marked]
        what = "compared" if marked else "not judged" if same else "another answer" if rows else ""
        counts[what or "no such answer"] += 1
    if not pairs:
        return [], counts
    return [_agreement(d.short, [(a[d.short], b[d.short]) for a, b in pairs]) for d in DIMENSIONS], counts


def agreement_text(rows: Sequence[Agreement], counts: Mapping[str, int]) -> str:
    """A line for each dimension, and one that says what was compared."""
    lines = [f"judge against reference: {', '.join(f'{n} {what}' for what, n in counts.items() if n)}"]
    for row in rows:
        kappa = "–" if row.kappa is None else f"{row.kappa:.2f}"
        lines.append(
            f"  {row.dimension}: mean absolute difference {row.difference:.2f}, "
            f"exact {100 * row.exact:.1f}%, quadratic kappa {kappa} ({row.answers} answers)"
        )
    return "\n".join(lines)


def _agreement(name: str, pairs: Sequence[tuple[float, float]]) -> Agreement:
    import numpy as np

    left, right = np.array(pairs, float).T
    a, b = np.rint(left).astype(int), np.rint(right).astype(int)
    seen = np.zeros((BEST + 1, BEST + 1))
    np.add.at(seen, (a, b), 1 / len(pairs))
    grid = np.arange(BEST + 1)
    weights = (grid[:, None] - grid[None, :]) ** 2
    chance = float((weights * np.outer(seen.sum(axis=1), seen.sum(axis=0))).sum())
    return Agreement(
        dimension=name,
        answers=len(pairs),
        difference=float(np.abs(left - right).mean()),
        exact=float((a == b).mean()),
        kappa=1 - float((weights * seen).sum()) / chance if chance else None,
    )
