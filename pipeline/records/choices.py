"""Multiple choice as LLaVA-Video-178K words it: training and evaluation ask in the same way."""

from __future__ import annotations

import string
from collections.abc import Sequence


def letter(index: int) -> str:
    """The letter of an option: 0 -> A. Raises IndexError for the 27th."""
    return string.ascii_uppercase[index]


def question_with_options(text: str, choices: Sequence[str]) -> str:
    """A question, its options on lines of their own, and how to answer."""
    lines = [f"{letter(i)}. {choice.rstrip('. ')}." for i, choice in enumerate(choices)]
    end = "Please provide your answer by stating the letter followed by the full option."
    return "\n".join([text, "Options:", *lines, end])


def answer_with_letter(choices: Sequence[str], index: int) -> str:
    """The answer to such a question: ``B. blue.``."""
    return f"{letter(index)}. {choices[index].rstrip('. ')}."
