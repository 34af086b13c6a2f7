"""Random numbers are drawn in one way: from names, the same for ever."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pipeline.draw import draw, draws, mix_draws, stream

REPO = Path(__file__).resolve().parents[2]
OTHER_WAYS = re.compile(
    r"blake2b|np\.random\.|random\.Random|^import random|default_rng|\bhash\(", re.MULTILINE
)
# golden.py repeats the random numbers of the reference, with which its tables are compared. The toy's lessons
# draw one text after the other; the weights in the repository came from these draws.
ELSEWHERE = {
    "pipeline/draw.py",
    "training/model/golden.py",
    "training/toy_weights/reading.py",
    "training/toy_weights/sentences.py",
}


def test_names_give_the_same_numbers_on_every_machine() -> None:
    """A changed value here changes datasets, the order of samples and the demo corpora: see REVISION."""
    assert draw("a") == 4681665781835383343
    assert draw("region frame", 7, "k") == 14794851870457124757
    assert draws(["x", "y"], "card", 1).tolist() == [5938532896884361016, 2990250312972404660]
    assert draws(["x", "y"], "card", 1).tolist() == [draw("card", 1, "x"), draw("card", 1, "y")]
    assert stream(0, "x").integers(0, 1000, 3).tolist() == [172, 669, 39]


def test_other_names_give_independent_numbers() -> None:
    assert draw("ab", "c") != draw("a", "bc")
    keys = [f"qa/{n}" for n in range(4000)]
    first, second = draws(keys, "select", 1), draws(keys, "card", 1)
    other = mix_draws(first, "epoch", 1)
    for one, two in ((first, second), (first, other), (second, other)):
        assert abs(np.corrcoef(one.astype(float), two.astype(float))[0, 1]) < 0.06
    for drawn in (first, second, other):
        assert abs(drawn.astype(float).mean() / 2**64 - 0.5) < 0.02


def test_no_module_draws_in_another_way() -> None:
    found = [
        str(path.relative_to(REPO))
        for package in ("pipeline", "datasets_prep", "training", "evaluation")
        for path in sorted((REPO / package).rglob("*.py"))
        if OTHER_WAYS.search(re.sub(r"np\.random\.Generator\b(?!\()", "", path.read_text(encoding="utf-8")))
    ]
    assert set(found) <= ELSEWHERE
