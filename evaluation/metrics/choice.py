"""Which option a text chooses. Three rules, because published numbers rest on rules that differ.

``strict`` is this project's: a text chooses an option only if it says so, else it is a failure and wrong.
``published`` is UFVideo's for MVBench: any capital letter counts ("A man runs" chooses A), and a text without
one falls back to option C. ``first_token`` is MVBench's own: the text's first word against "(a)".
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

FALLBACK_INDEX = 2  # of the published rule

_LEAD = re.compile(
    r"^(?:(?:the\s+)?(?:best\s+|correct\s+)?(?:answer|option)(?:\s+is)?\s*:?\s*)", re.IGNORECASE
)
_BRACKETED = re.compile(r"\(\s*([A-Za-z])\s*\)")
_MARKED = re.compile(r"^([A-Z])\s*[.):](?=\s|$)")
_ALONE = re.compile(r"^([A-Z])$")


def letter(index: int) -> str:
    """Letter of an option: 0 -> A."""
    return string.ascii_uppercase[index]


def strict(text: str, choices: Sequence[str]) -> int | None:
    """Index of the option that a text names beyond doubt, else None.

    Accepted, after an optional lead such as "Answer:" or "The best option is": "(B)" and "(B) anything",
    "B.", "B)" or "B:" with or without text behind it, "B" alone, or an option's whole text. Refused: a letter
    beyond the options, two different letters in brackets, a letter followed by another option's text.
    """
    bare = _LEAD.sub("", text.strip(), count=1).strip()
    in_brackets = {m.upper() for m in _BRACKETED.findall(bare)}
    if len(in_brackets) > 1:
        return None
    for pattern in (_BRACKETED, _MARKED, _ALONE):
        match = pattern.match(bare)
        if match:
            index = string.ascii_uppercase.index(match.group(1).upper())
            named = _option_of(bare[match.end() :], choices)
            return index if index < len(choices) and named in (None, index) else None
    return _option_of(bare, choices)


def published(text: str, choices: Sequence[str]) -> int:
    """UFVideo's rule for MVBench; never fails.

    The first capital letter among the options' letters, anywhere, once the word "answer" is deleted; else
    the first option whose text occurs in it; else option C.
    """
    bare = text.replace("answer", "").replace("Answer", "")
    match = re.search(f"[A-{letter(len(choices) - 1)}]", bare)
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


def _option_of(text: str, choices: Sequence[str]) -> int | None:
    """The one option whose text this is, case, blanks and closing dot aside; None for none or several."""
    plain = _plain(text)
    hits = [i for i, choice in enumerate(choices) if _plain(choice) == plain]
    return hits[0] if plain and len(hits) == 1 else None


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .")
