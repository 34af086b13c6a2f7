"""No answer can be guessed from the text alone: the majority answer to each question stays near chance."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from datasets_prep.demo import st_align
from datasets_prep.demo.corpora import build_corpora
from datasets_prep.demo.corpus import Corpus
from datasets_prep.demo.staging import train_scenes
from pipeline.plan.demo import DemoConfig


@pytest.fixture(scope="module")
def corpora() -> dict[str, Corpus]:
    config = DemoConfig(train_videos=400, mvbench_items=240, mevis_share=0, damage=False)
    return {corpus.name: corpus for corpus in build_corpora(config)}


def rows_of(corpus: Corpus, part: str) -> list[dict]:
    return [row for path, rows in corpus.documents.items() if part in path for row in rows]


def choice_of(row: dict) -> tuple[str, str, list[str], str]:
    """Question, letter, options, answer text of a multiple-choice row."""
    human, reply = (turn["value"] for turn in row["conversations"])
    body = human.split("\n", 1)[1] if human.startswith("<") else human
    options = re.findall(r"^(?:\()?[A-D][.)] (.*?)\.?$", body, flags=re.M)
    question = body.split("\nOptions:")[0].removeprefix("Question: ")
    letter = re.match(r"\(?([A-D])", reply)
    assert letter is not None
    assert options["ABCD".index(letter[1])] == reply.split(" ", 1)[1].rstrip(".")
    return question, letter[1], options, options["ABCD".index(letter[1])]


def held_out_guess(pairs: list[tuple[str, str]]) -> float:
    """Accuracy on the second half of always giving the first half's commonest answer to a question."""
    half = len(pairs) // 2
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for question, answer in pairs[:half]:
        seen[question][answer] += 1
    right = [seen[q].most_common(1)[0][0] == a if seen[q] else 0.0 for q, a in pairs[half:]]
    return sum(right) / len(right)


@pytest.mark.parametrize(("name", "part"), [("llava_video", "_mc_"), ("st_align", "videoqa")])
def test_training_choices_cannot_be_guessed(corpora: dict[str, Corpus], name: str, part: str) -> None:
    rows = [choice_of(row) for row in rows_of(corpora[name], part)]
    assert len(rows) > 500
    chance = sum(1 / len(options) for _, _, options, _ in rows) / len(rows)
    letters = Counter((len(options), letter) for _, letter, options, _ in rows)
    for count in (2, 3, 4):
        shares = [letters[count, letter] for letter in "ABCD"[:count]]
        assert max(shares) < 1.25 * min(shares), shares
    assert held_out_guess([(q, answer) for q, _, _, answer in rows]) < chance + 0.08
    assert held_out_guess([(f"{q}{options}", letter) for q, letter, options, _ in rows]) < chance + 0.08


def test_yes_and_no_are_equally_frequent(corpora: dict[str, Corpus]) -> None:
    rows = [choice_of(row) for row in rows_of(corpora["llava_video"], "_mc_")]
    answers = Counter(answer for question, _, _, answer in rows if question.startswith("Is there"))
    assert set(answers) == {"yes", "no"}
    assert abs(answers["yes"] - answers["no"]) <= 2
    # Not even the colour and shape in the question give the answer away.
    assert held_out_guess([(q, a) for q, _, _, a in rows if q.startswith("Is there")]) < 0.62


def test_mvbench_answers_are_balanced(corpora: dict[str, Corpus]) -> None:
    rows = [row for rows in corpora["mvbench"].documents.values() for row in rows]
    assert len(rows) == 240
    for task in ("object_existence", "action_count", "moving_direction", "moving_attribute"):
        listed = corpora["mvbench"].documents[f"json/{task}.json"]
        counts = Counter(row["answer"] for row in listed)
        assert max(counts.values()) - min(counts.values()) <= 1, (task, counts)
    places = Counter(row["candidates"].index(row["answer"]) for row in rows if len(row["candidates"]) == 4)
    assert max(places.values()) <= 1.7 * min(places.values()), places
    assert all(len(set(row["candidates"])) == len(row["candidates"]) for row in rows)


def test_no_constant_span_fits_the_grounding_questions() -> None:
    config = DemoConfig(train_videos=200, damage=False)
    corpus = st_align.build(config, train_scenes(config, 200))
    spans = [
        row["variables"]["temporal_output_locations"]
        for row in rows_of(corpus, "json")
        if row["type"] == "tvg" and "meta" not in row
    ]
    grid = [k / 16 for k in range(17)]
    best = max(
        sum(max(0, min(b, e) - max(a, s)) / (max(b, e) - min(a, s)) for s, e in spans) / len(spans)
        for a in grid
        for b in grid
        if a < b
    )
    assert best < 0.5
