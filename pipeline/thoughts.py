"""Which part of a model's text is its answer: not what it thought aloud in front of it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_TAG: Final = re.compile(
    r"<\s{0,3}(?P<closing>/?)\s{0,3}(?P<name>answer|think|thinking|thought|thoughts|reasoning)"
    r"(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)


class Said(NamedTuple):
    """The answer in a text, from ``start`` to ``stop``. ``unfinished``: the text ends within a thought."""

    start: int
    stop: int
    unfinished: bool = False


def said(text: str) -> Said:
    """What stands in the last ``<answer>``, else what follows the last thought; case and attributes aside.

    A thought is ``<think>`` or a tag of like name. Prompts may end in an opening tag, so a closing one
    without it ends a thought, too; one that is never closed has no answer behind it.
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
    return Said(start, max(start, stop), unfinished)
