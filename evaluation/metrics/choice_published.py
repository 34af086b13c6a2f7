"""The rules of published accuracies, as their authors wrote them.

``published`` is UFVideo's for MVBench: any capital letter counts ("A man runs" chooses A), and a text without
one falls back to option C. ``first_token`` is MVBench's own: the text's first word against "(a)".
``lettered`` is VideoRefer-Bench-Q's. This project's own rule is ``choice.strict``.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import cache

from pipeline.records.choices import letter

FALLBACK_INDEX = 2  # of the published rule


@cache
def _letters_of(count: int) -> re.Pattern[str]:
    return re.compile(f"[A-{letter(count - 1)}]")


def published(text: str, choices: Sequence[str]) -> int:
    """UFVideo's rule for MVBench; never fails.

    The first capital letter among the options' letters, anywhere, once the word "answer" is deleted; else
    the first option whose text occurs in it; else option C.
    """
    bare = text.replace("answer", "").replace("Answer", "")
    match = _letters_of(len(choices)).search(bare)
    if match:
        return string.ascii_uppercase.index(match.group())
    for index, choice in enumerate(choices):
        if choice.lower() in bare.lower():
            return index
    return FALLBACK_INDEX


def first_token(text: str, answer_index: int) -> bool:
    """MVBench's own rule: is the first word, without dots, a substring of the answer's "(a)", or "(a)" of it?

    The rule as written calls an empty text right, since it is in every string; here it is wrong.
    """
    words = text.strip().lower().split()
    if not words:
        return False
    word, wanted = words[0].replace(".", ""), f"({letter(answer_index).lower()})"
    return bool(word) and (word in wanted or wanted in word)


def lettered(text: str, choices: Sequence[str]) -> int | None:
    """VideoRefer-Bench-Q's published rule: "(X)" anywhere, else "X)", else the first character; or None."""
    match = re.search(r"\(([A-Z])\)", text) or re.search(r"([A-Z])\)", text)
    first = match.group(1) if match else text.replace(".", "").strip()[:1]
    index = string.ascii_uppercase.find(first) if first else -1
    return index if 0 <= index < len(choices) else None
