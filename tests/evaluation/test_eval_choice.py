"""Which option a text chooses, in the styles of many models, and on real answers with a judge's verdict."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluation.metrics.choice import Refusal, Rule, strict
from pipeline.draw import draw

COLOURS = ("Red.", "Blue.", "Green.", "A man.")
ACTIONS = ("running", "walking", "sitting down", "jumping over a fence")
YES_NO = ("Yes", "No")
LIST = "A. Red: no\nB. Blue: yes\nC. Green: no"

READ: dict[Rule, Sequence[tuple[str, int]]] = {
    Rule.LED: [
        ("(B)", 1), ("(b)", 1), ("(B) Blue.", 1), ("(B) because it is the sky", 1), ("B.", 1),
        ("B. blue.", 1),
        ("B) Blue", 1), ("B: blue", 1), ("B", 1), (" B \n", 1), ("b", 1), ("b.", 1), ("b)", 1),
        ("b: blue", 1), ("a", 0),
        ("B - Blue", 1), ("B Blue", 1), ("B (Blue)", 1), ("Option B", 1), ("[B]", 1), ('["B"]', 1),
        ("B, because A is wrong", 1),
        ("(B) because (C) is impossible", 1), ("B. A and C are wrong.", 1), ("B: Blue, not A: Red", 1),
        ("A because it is red", 0), ("B\nBecause the ball is blue", 1),
        ("B\n\nExplanation: red is not shown.", 1),
        # markdown
        ("**B**", 1), ("**(B)**", 1), ("**B. Blue**", 1), ("**B.** Blue", 1), ("- B", 1),
        ("* **B. Blue.**", 1), ("> B", 1),
        ("`B`", 1), ("```\nB\n```", 1), ("__B__", 1), ("_B_", 1), ("### B", 1), ("~~A~~ B", 1), ("✅ B", 1),
        ("👉 **B**", 1),
        # tags and tokens
        ("<think>Could be A. red? Hmm (C)...</think>\n\nB", 1),
        ("<THINK>it is A</THINK><ANSWER>b</ANSWER>", 1),
        ('<answer type="mc">B</answer>', 1), ("It is red</think>B", 1), ("<answer>B", 1), ("<B>", 1),
        ("<b>B</b>", 1),
        ("<think>\nThe ball looks red. A?\n</think>\n<answer>\n(B) Blue.\n</answer>", 1),
        ("<think>so B. <answer>B</answer>", 1), ("<answer>A</answer> No: <answer>B</answer>", 1),
        ("B<|im_end|>", 1), ("B</s>", 1), ("ASSISTANT: B", 1), ("Assistant: (B) Blue.", 1),
        # full width
        ("（Ｂ）", 1), ("B：蓝色", 1), ("【B】", 1), ("Ｂ。", 1),
    ],
    Rule.STATED: [
        ("Answer: B", 1), ("Answer: b", 1), ("answer: (b)", 1), ("the answer is B", 1),
        ("the answer is B. blue", 1),
        ("The best option is (C).", 2), ("The correct answer is (B) Blue.", 1),
        ("The correct option is: B", 1),
        ("I would choose option (b)", 1), ("I'd go with B.", 1), ("I choose (B).", 1),
        ("Between A and B, I choose B.", 1),
        ("My answer is B because A is wrong", 1), ("Final Answer: B", 1), ("**Final Answer**: B", 1),
        ("**Answer:**\nB", 1),
        ("## Answer\nB", 1), ("### Answer: **B**", 1), ("Option (B) is correct.", 1),
        ("B is the right answer", 1),
        ("A is the correct answer", 0), ("(B) is the best answer since (A) is not visible", 1),
        ("It is B", 1), ("It's B.", 1),
        ("The second option is correct.", 1), ("The answer is option b.", 1), ("Answer: B (not A)", 1),
        ("Answer: 'B'", 1),
        ("The answer is A man", 3), ("The answer is a man.", 3), ("The best option is blue.", 1),
        ('The answer is "blue".', 1),
        ("The right order is B. She waves first.", 1),
        ("The correct choice here would be option B, as shown.", 1),
        ("It moves, which corresponds to option B", 1),
        ("The movement is best described by option C. It turns.", 2),
        # it wins over stray letters, and a conclusion over earlier statements
        ("A is wrong, C is wrong, so the answer is B", 1),
        ("A) Red is wrong. B) Blue is right. So the answer is B", 1),
        (LIST + "\nTherefore, B.", 1), (LIST + "\nAnswer: B", 1),
        ("The answer is A. Wait, no. The final answer is B.", 1),
        ("The options are A, B, C and D. The answer is D.", 3),
        ("Option A: Red\nOption B: Blue\nThe best is option B.", 1),
        ("The answer is C because, unlike A and B, it is green", 2),
        ("The ball is red.\n\nAnswer: (C) Green.", 2),
        ("Therefore, the correct option is:\n\n**B. Blue**", 1), ("Let me look at it.\n\nB", 1),
        ("First it rolls.\n**B. Blue**", 1),
        ("Let's analyze.\n\n1. A man runs.\n2. He stops.\n\nSo, the answer is **(A)**.", 0),
        ("<think>I look at it. A or B?\nThe answer is B", 1),  # a thought that is never closed, but concludes
        ('{"answer": "B"}', 1), ('{"answer": "(B) Blue"}', 1), ('{"reason": "A man", "answer": "B"}', 1),
        ("答案是B", 1), ("答案：（B）", 1), ("正确答案为 B。", 1), ("我选择B。", 1), ("选B", 1),
    ],
    Rule.BOXED: [
        (r"\boxed{B}", 1), (r"\boxed{\text{B}}", 1), (r"$\boxed{\textbf{(B)}}$", 1),
        (r"\[ \boxed{\mathrm{C}} \]", 2),
        (r"It is red at first. Thus \(\boxed{B}\).", 1), (r"\boxed{blue}", 1), (r"\boxed{B. Blue}", 1),
        (r"<think>red, A? \boxed{C} no</think> \boxed{B}", 1), ("<think>red or blue?\n\\boxed{B}", 1),
    ],
    Rule.WHOLE: [
        ("Blue", 1), ("blue.", 1), ("  BLUE ", 1), ("a man", 3), ("A man.", 3), ("**Blue**", 1),
        ("blue, because the sky is", 1), ("Blue. It is not red.", 1),
    ],
    Rule.LETTERED: [("Its colour, B. blue, is rare", 1), ("The colour seen: (B) Blue.", 1)],
    Rule.WORDS: [
        ("The ball is blue.", 1), ("The ball is blue. It's not red.", 1),
        ("The colour is blue rather than red.", 1),
        ("Sure! The ball is blue.", 1),
        ("Based on the video, the ball is blue because red would shine.", 1),
        ("A man runs across the street", 3),  # not by its A
    ],
}  # fmt: skip

REFUSED: dict[Refusal, Sequence[str]] = {
    Refusal.EMPTY: ["", ".\n"[1:], "**", "<answer></answer>"],
    Refusal.SEVERAL: [
        "A or B", "(A) or (B)", "Both A and C are correct", "A, B", "A/B", "A and B", "A & B", "(A)(B)",
        "A. B. C.", "A,B,C,D",
        "A. Red or B. Blue", "(A) red and (B) blue", "The answer is A or B",
        "The answer is either A or B.", "Answer: A and B",
        "The answers are A and C", "Answer: A, C", "I would choose A or B", "A. Red\nB. Blue", "A\nB",
        LIST, "A vs B",
        "The answer is A. The answer is B.", "B. Blue\n\nThe answer is A.",
        "B. Blue\n\nSo the final answer is A.",
        r"\boxed{A} \boxed{B}", r"\boxed{A, B}", "It is red or blue", "red, blue", "Red and blue.",
        "Neither red nor blue",
        "答案是A或B", "A B", "both A and C",
        "(A) red (B) blue (C) green", "A. red B. blue", "A) Red. B) Blue. C) Green.",  # the options again
    ],
    Refusal.BEYOND: ["E", "(F)", "The answer is E", "E. purple", r"\boxed{E}"],
    Refusal.CONTRADICTION: [
        "B. red", "(A) Blue.", "The answer is A. Blue", "A: a man walks", r"\boxed{A. Blue}",
    ],
    Refusal.THOUGHT: [
        "<think>It is red. A or B?\nmaybe the", "<think>I look at it.\nB", "<think>Blue.", "<think>",
    ],
    Refusal.NONE: [
        ".", "A dog runs across the street", "Because the dog is blue", "Both of them", "Bluegreen",
        "B-movie", "ABCD",
        "I think so", "I am not sure.", "I can see it", "Both of the two", "None of the above",
        "All of the above",
        "It is not B", "The answer is not B", "I don't think the answer is B", "The answer can't be B.",
        "Not B",
        "The answer could be B", "The wrong answer is A", "Option A is incorrect.", "B is not correct",
        "(B) is wrong",
        "Is the answer B?", "The ball is not blue", "The ball might be blue", "Is it blue?", "A ❌\nB ✅",
        "B kicks the ball to A", "Step 1: the dog enters.\nStep 2: B leaves.",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "index"), [(r, *one) for r, every in READ.items() for one in every])
def test_a_clearly_chosen_option_is_read(rule: Rule, text: str, index: int) -> None:
    found = strict(text, COLOURS)
    assert (found.index, found.rule, found.refusal) == (index, rule, None)


@pytest.mark.parametrize(("refusal", "text"), [(r, one) for r, every in REFUSED.items() for one in every])
def test_a_text_without_a_clear_choice_is_refused(refusal: Refusal, text: str) -> None:
    found = strict(text, COLOURS)
    assert (found.index, found.rule, found.refusal) == (None, None, refusal)


@pytest.mark.parametrize(
    ("text", "options", "index"),
    [
        ("A man runs", ACTIONS, None),
        ("A man runs", ("A man runs", "A woman runs"), 0),
        ("A man is running", ACTIONS, 0),
        ("The person is jumping over the fence.", ACTIONS, 3),
        ("He starts at left. He then is running away. The correct answer is **A. running**.", ACTIONS, 0),
        ("Yes", YES_NO, 0),
        ("Yes, the man is running.", YES_NO, 0),
        ("No, there isn't", YES_NO, 1),
        ("There is no ball", YES_NO, None),
        ("yes", ("Yes.", "yes", "no"), None),  # equal options
        ("It turns counter-clockwise.", ("clockwise", "counterclockwise"), 1),
        ("The ball turns red and blue.", ("red", "red and blue"), 1),  # the longer one
        ("A. red and blue", ("red", "red and blue"), None),
        ("The dough is not rotating.", ("clockwise", "it is not rotating"), 1),  # the option's own "not"
        ("球是蓝色的。", ("红色", "蓝色"), 1),
        ("A. Melting", ("freezing", "melting"), None),
        ("C. Red is not shown", ("red", "blue", "green"), 2),
        ("Answer: A tall man", ("a woman", "a child"), None),  # an article and no letter
        ("Answer: A woman", ("a woman", "a child"), 0),
        ("Answer: A because she runs", ("a woman", "a child"), 0),
        ("2.5", ("1", "2", "3"), None),
        ("1,200 people", ("1", "2", "1,200"), 2),
        ("2, because two balls roll", ("1", "2", "3"), 1),
    ],
)
def test_options_that_are_phrases_are_read_from_sentences(
    text: str, options: Sequence[str], index: int | None
) -> None:
    assert strict(text, options).index == index


@pytest.mark.parametrize(
    "piece", ["A, ", "The answer is ", "(A) or ", "<think>", "red ", "\\boxed{", "A.\n", "not, ", "( "]
)
def test_long_answers_are_read_in_linear_time(piece: str) -> None:
    found = strict(piece * (40_000 // len(piece)), COLOURS)  # in quadratic time it would exceed the timeout
    assert (found.index is None) == (found.refusal is not None)


def test_the_rules_agree_with_the_judge_of_real_answers(realdata: Path) -> None:
    """Of each half: at most 5% are refused, and at least 99% of the others agree with the judge's verdict.

    The rules were developed on the first half; the second is held out.
    """
    lines = (realdata / "choice_answers" / "answers.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["judged_right"] is not None]
    assert len(rows) == 1754
    halves: list[list[dict[str, Any]]] = [[], []]
    for row in rows:
        halves[draw("choice answers", row["text"], *row["options"]) % 2].append(row)
    for name, half in zip(("development", "held out"), halves, strict=True):
        confusion = Counter(
            ("refused" if found.index is None else found.index == row["answer_index"], row["judged_right"])
            for row in half
            for found in [strict(row["text"], row["options"])]
        )
        refused = confusion["refused", True] + confusion["refused", False]
        agree = confusion[True, True] + confusion[False, False]
        print(
            f"{name}: {len(half)}, refused {refused / len(half):.2%}, "
            f"agree {agree / (len(half) - refused):.2%}"
        )
        for (ours, judge), count in sorted(confusion.items(), key=str):
            print(f"  read as {ours}, judged {judge}: {count}")
        assert refused <= 0.05 * len(half)
        assert agree >= 0.99 * (len(half) - refused)


def test_no_letter_is_read_in_real_captions(realdata: Path) -> None:
    """Sentences about videos may choose an option by their words, never by a letter in them."""
    videos = json.loads((realdata / "activitynet_captions" / "val_2.json").read_text()).values()
    captions = [sentence for video in videos for sentence in video["sentences"]]
    by_letter = {Rule.BOXED, Rule.STATED, Rule.LED, Rule.LETTERED}
    read = Counter(
        strict(caption, ("slow", "fast", "at normal speed", "as a time-lapse")).rule
        for caption in captions[:4000]
    )
    assert not by_letter & set(read), read
    assert read[None] > 3950
