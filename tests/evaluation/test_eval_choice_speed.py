"""What is skipped to read a choice fast changes no result."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.metrics import choice_stated, choice_text
from evaluation.metrics.choice import Chosen, read_by_rules, strict

COLOURS = ("red", "dark red", "a blue car", "not known")


def slowly(text: str, choices: tuple[str, ...]) -> Chosen:
    """Every text by the rules, cleaned by every pattern, with every pattern of a stated answer tried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluation.metrics.choice.plain", choice_text.cleaned)
        patch.setattr("evaluation.metrics.choice._option", _option_slowly)
        patch.setattr(choice_stated, "_possible", lambda text: choice_stated._EVERY)
        return read_by_rules(text, choices)


def _option_slowly(one: str) -> tuple[str, tuple[str, ...]]:
    text = choice_text.cleaned(one).text
    return text, tuple(choice_text.words(text))


def test_every_short_text() -> None:
    """All texts of up to five of these signs, which hold every form of a letter alone."""
    for length in range(6):
        for signs in product("(.)Bbz \n" if length > 3 else "(.)BbzAI[ \n,:", repeat=length):
            text = "".join(signs)
            assert strict(text, COLOURS) == read_by_rules(text, COLOURS), repr(text)


def test_real_answers(realdata: Path) -> None:
    lines = (realdata / "choice_answers" / "answers.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rows += [{"text": row["options"][0], "options": row["options"]} for row in rows[::5]]
    for row in rows:
        choices = tuple(row["options"])
        assert strict(row["text"], choices) == slowly(row["text"], choices), row
    assert len(rows) > 2000


PIECES = (
    "The answer is ", "answer", "Option ", "option", "choice ", "I would choose ", "choosing ", "chose ",
    "picked ", "select ", "going with ", "went with ", "go with ", "opt for ", "vote for ", "settle on ",
    "I say ", "guess ", "conclude ", "it is ", "that's ", "this must be ", "which was ", "should be ", "is ",
    "was ", "matches ", "supports the ", "made by ", "So ", "therefore, ", "Thus ", "hence ",
    "in conclusion ", "consequently ", "correct", "right", "is the best", "accurate", "appropriate", "true",
    "suitable",
    "first ", "second ", "response: ", "solution = ", "selection ", "prediction -> ", "letter ",
    "A", "B", "b", "(C)", "D.", "Z", "I", "red", "dark red", "blue car", " ", "\n", ", ", ". ", "? ",
    "not ", "maybe ",
    "答案是", "选", "ı", "ıs ", "ſo ", "<think>", "</think>", "**", "- ", "\\boxed{B}", "model: ", "$", "_",
    "~~", "`", "#", "’", "3.5", "i't", "-",
)  # fmt: skip


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_random_answers(text: str) -> None:
    assert strict(text, COLOURS) == slowly(text, COLOURS)


@settings(max_examples=2000)
@given(st.text(alphabet="AbB (.)[]'\",;?!/%-5\n*_<>:Éı", max_size=12))
def test_random_signs(text: str) -> None:
    assert choice_text.plain(text) == choice_text.cleaned(text)
    assert strict(text, COLOURS) == slowly(text, COLOURS)


OPTIONS = (
    "red", "dark red", "A man", "A man runs", "a.", "A", "I", "b", "B team", "is red", "can go", "can",
    "not red", "it is right", "left to right", "the best", "is the answer", "option B", "x or a b", "or A",
    "and a man", "a, b", "red/blue", "T-shirt", "un-do", "3", "3.5", "U.S.", "e.g. b", "plan A.", "both",
    "none", "", "it's", "A a man", "so it is", "a",
)  # fmt: skip
LED = (
    "({}) {}",
    "{}. {}",
    "{}) {}",
    " {}. {}.",
    "({}) {}.\n",
    "{}: {}",
    "({}. {}",
    "{}. {}..",
    "({}) {} ({})",
)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(OPTIONS), min_size=2, max_size=4), st.sampled_from(LED), st.data())
def test_a_letter_before_its_option(options: list[str], form: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(options) - 1))
    text = form.format("ABCD"[index], options[index], "B")
    assert strict(text, tuple(options)) == slowly(text, tuple(options))


def test_no_pattern_that_matches_is_left_out() -> None:
    """Texts of any two of the pieces and what may end a statement."""
    matched = dict.fromkeys(choice_stated._EVERY, 0)
    for parts in product(PIECES, PIECES, ("A.", "(b)", " is the best", "option is the best", " red")):
        text = "".join(parts)
        possible = choice_stated._possible(text)
        for number, form in enumerate(choice_stated._PATTERNS):
            if number not in possible:
                assert form.search(text) is None, (text, form.pattern)
            else:
                matched[number] += form.search(text) is not None
    assert all(matched.values())
