"""Which part of a model's text is its answer, without the reasoning before it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_TAG: Final = re.compile(
    r"<\s{0,3}(?P<closing>/?)\s{0,3}(?P<name>answer|think|thinking|thought|thoughts|reasoning)"
    r"(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)


class AnswerPart(NamedTuple):
    """The answer in a text, from ``start`` to ``stop``. ``unfinished``: the text ends within a thought."""

    start: int
    stop: int
    unfinished: bool = False


def answer_part(text: str) -> AnswerPart:
    """The content of the last ``<answer>``, else what follows the last thought, ignoring case and attributes.

    A thought is ``<think>`` or a similar tag. Prompts may end with an opening tag, so a closing tag alone
    ends a thought, too; after a thought that is never closed there is no answer.
    """
    start, stop, unfinished = 0, len(text), False
    for tag in _TAG.finditer(text):
        closing, answers = bool(tag["closing"]), tag["name"].lower() == "answer"
        unfinished = not closing and not answers
        if not answers:
            start, stop = (tag.end(), len(text)) if closing else (tag.start(), tag.start())
        elif closing:
            stop = tag.start()
        else:
            start, stop = tag.end(), len(text)
    return AnswerPart(start, max(start, stop), unfinished)
