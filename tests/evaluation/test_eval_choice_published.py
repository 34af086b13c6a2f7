"""The published rules for multiple choice, as their authors wrote them, and the accuracies that they gave."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evaluation.metrics import choice_published
from evaluation.metrics.choice import strict

OPTIONS = ("Red.", "Blue.", "Green.", "A man.")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("A man runs", 0),  # any capital letter counts
        ("Because the dog", 1),
        ("Answer: C", 2),
        ("the answer is (B)", 1),
        ("it is blue.", 1),  # option text
        ("no idea", 2),  # the fallback
        ("", 2),
        ("Every dog", 2),  # E is not a letter of four options
    ],
)
def test_the_published_rule_reads_an_option_from_every_text(text: str, index: int) -> None:
    assert choice_published.published(text, OPTIONS) == index


@pytest.mark.parametrize(
    ("text", "index", "right"),
    [
        ("(B) Blue.", 1, True),
        ("B.", 1, True),
        ("b", 1, True),
        ("(A) Red", 1, False),
        ("Blue", 1, False),
        ("", 1, False),
        (".", 1, False),
    ],
)
def test_mvbench_s_rule_compares_the_first_token(text: str, index: int, right: bool) -> None:
    assert choice_published.first_token(text, index) is right


@pytest.mark.parametrize(
    ("text", "index"),
    [("it is (B)", 1), ("B) Blue", 1), ("B.", 1), ("Cat", 2), ("", None), ("it", None), ("(Z)", None)],
)
def test_videorefer_s_rule_reads_a_bracketed_letter_or_the_first_character(
    text: str, index: int | None
) -> None:
    assert choice_published.lettered(text, OPTIONS) == index


def test_the_published_accuracies_of_real_mvbench_answers_are_reproduced(realdata: Path) -> None:
    """The answers are in the requested form.

    Two answers begin with "Answer:", which MVBench's first-token rule does not read.
    """
    rows = json.loads((realdata / "mvbench_answers" / "MVBench.json").read_text())
    expected = json.loads((realdata / "mvbench_answers" / "MVBench_result_final.json").read_text())
    by_first_token = {"Action Sequence": 86.0, "Action Prediction": 67.0}
    for task in by_first_token:
        own = [row for row in rows if row["task_type"] == task]
        assert len(own) == 200
        hits = {"strict": 0, "published": 0, "first_token": 0}
        for row in own:
            options = re.findall(r"^\([A-Z]\) (.*)$", row["question"], re.MULTILINE)
            answer = strict(row["gt"], options).index
            assert answer is not None, row["gt"]
            hits["strict"] += strict(row["pred"], options).index == answer
            hits["published"] += choice_published.published(row["pred"], options) == answer
            hits["first_token"] += choice_published.first_token(row["pred"], answer)
        found = {rule: count / 2 for rule, count in hits.items()}
        assert found == {
            "strict": expected[task],
            "published": expected[task],
            "first_token": by_first_token[task],
        }
