"""The two ways to check the text of a compressed RLE never differ."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.records import masks

HEIGHT, WIDTH = 48, 61
CODES = [chr(48 + code) for code in range(64)]


def outcome_of(text: str) -> str:
    """The text if it is valid, else the reason why it is refused."""
    try:
        return masks.from_source({"size": [HEIGHT, WIDTH], "counts": text}, HEIGHT, WIDTH)
    except ValueError as error:
        return str(error)


def texts(draw: random.Random) -> list[str]:
    """The text of a mask, and corrupted forms of it."""
    share = draw.choice((0.0, 0.02, 0.5, 0.98, 1.0))
    pixels = np.random.default_rng(draw.randrange(1 << 30)).random((HEIGHT, WIDTH)) < share
    good = masks.encode(pixels)
    at = draw.randrange(len(good))
    other = draw.choice([*CODES, "~", "\n", "\0", "é", "p"])
    return [
        good,
        good[:at],
        good[:at] + good[at + 1 :],
        good[:at] + other + good[at + 1 :],
        good[:at] + other + good[at:],
        good + other,
        good[:at] + "o" * draw.randrange(1, 12) + good[at:],  # bits without an end
        good[:at] + "O" + good[at:],
        "".join(draw.choices(CODES, k=draw.randrange(1, 400))),
    ]


@pytest.mark.parametrize("seed", range(60))
def test_both_ways_of_checking_have_the_same_outcome(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for text in texts(random.Random(seed)):
        monkeypatch.setattr(masks, "_SHORT", 1)
        fast = outcome_of(text)
        monkeypatch.setattr(masks, "_SHORT", 1 << 30)
        assert fast == outcome_of(text)


@pytest.mark.parametrize("seed", range(20))
def test_a_valid_text_is_accepted_by_arrays_without_the_slow_check(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    def slow_check(text: str, pixels: int) -> None:
        raise AssertionError("the slow check was used")

    monkeypatch.setattr(masks, "_SHORT", 1)
    monkeypatch.setattr(masks, "_check_compressed", slow_check)
    good, *_ = texts(random.Random(seed))
    assert outcome_of(good) == good


def text_of(runs: Sequence[int]) -> str:
    """Encode any run lengths as the COCO API does, also those that it never writes."""
    out = []
    for at, run in enumerate(runs):
        left = run - (runs[at - 2] if at > 2 else 0)
        while True:
            code, left = left & 0x1F, left >> 5
            more = left != (-1 if code & 0x10 else 0)
            out.append(chr(48 + code + 0x20 * more))
            if not more:
                break
    return "".join(out)


@pytest.mark.parametrize("short", [1, 1 << 30])
def test_negative_runs_are_refused_though_the_sum_is_right(
    monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    monkeypatch.setattr(masks, "_SHORT", short)
    pixels = HEIGHT * WIDTH
    good = [10, 20, 30, 40, pixels - 100]
    assert (
        outcome_of(text_of(good))
        == text_of(good)
        == masks.from_source({"size": [HEIGHT, WIDTH], "counts": good}, HEIGHT, WIDTH)
    )
    for bad in ([-5, 5, pixels], [5, -5, pixels], [1, 2, -3, pixels], [9, 9, 9, -9, 9, pixels - 27]):
        assert sum(bad) == pixels
        assert "negative" in outcome_of(text_of(bad))
    assert f"of {pixels + 1} pixels" in outcome_of(text_of([1, pixels]))
