"""Agreement of a judge with reference marks, against scikit-learn's kappa and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.judge.agreement import Reference, agreement, read_reference
from evaluation.judge.rubric import DIMENSIONS
from pipeline.errors import UserError
from pipeline.storage.location import Location

NAMES = [d.short for d in DIMENSIONS]


def row(key: str, mark: int | None, benchmark: str = "b", answer: str = "a") -> dict[str, Any]:
    marks = None if mark is None else dict.fromkeys(NAMES, mark)
    return {"benchmark": benchmark, "key": key, "answer": answer, "marks": marks}


def reference(key: str, mark: float, **more: Any) -> Reference:
    return Reference(key=key, marks=dict.fromkeys(NAMES, mark), **more)


def test_agreement_equals_a_computation_by_hand():
    """Marks 0, 5, 3 against 0, 4, 3: squared differences 0, 1, 0 observed, 65 / 9 by chance."""
    rows, counts = agreement(
        [reference("x", 0), reference("y", 5), reference("z", 3)], [row("x", 0), row("y", 4), row("z", 3)]
    )
    assert counts["compared"] == 3
    assert [r.dimension for r in rows] == NAMES
    (first, *_) = rows
    assert (first.difference, first.exact) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    chance = sum((a - b) ** 2 for a in (0, 5, 3) for b in (0, 4, 3)) / 9
    assert first.kappa == pytest.approx(1 - (1 / 3) / chance)


def test_kappa_is_that_of_scikit_learn():
    oracle = pytest.importorskip("sklearn.metrics").cohen_kappa_score
    rng = np.random.default_rng(3)
    a = rng.integers(0, 6, 400)
    b = np.clip(a + rng.integers(-2, 3, 400), 0, 5)
    rows, _ = agreement(
        [reference(str(n), float(m)) for n, m in enumerate(a)], [row(str(n), int(m)) for n, m in enumerate(b)]
    )
    assert rows[0].kappa == pytest.approx(oracle(a, b, weights="quadratic"), abs=1e-12)


def test_marks_that_cannot_be_compared_are_counted():
    judged = [row("x", 4), row("x", 2, "other"), row("y", None), row("z", 3, answer="now")]
    references = [
        reference("x", 4, benchmark="b"),
        reference("y", 1),
        reference("z", 3, answer="then"),
        reference("gone", 1),
    ]
    rows, counts = agreement(references, judged)
    assert counts == {"compared": 1, "not judged": 1, "another answer": 1, "no such answer": 1}
    assert (rows[0].answers, rows[0].exact) == (1, 1.0)
    assert agreement(references[1:], judged)[0] == []


@pytest.mark.parametrize(
    "line",
    ["no JSON", "[]", '{"key": "x"}', '{"key": "x", "marks": {"SC": 1, "AD": 1, "TD": 1}}', None],
)
def test_an_invalid_reference_is_refused_with_its_line_number(tmp_path: Path, line: str | None):
    good = json.dumps({"key": "x", "marks": dict.fromkeys(NAMES, 2)})
    bad = json.dumps({"key": "x", "marks": dict.fromkeys(NAMES, 6)}) if line is None else line
    place = tmp_path / "r.jsonl"
    place.write_text(f"{good}\n\n{bad}\n")
    with pytest.raises(UserError, match=r"r\.jsonl, line 3"):
        read_reference(Location.parse(place))
    place.write_text(f"{good}\n")
    assert read_reference(Location.parse(place))[0].marks["HD"] == 2
