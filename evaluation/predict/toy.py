"""What a toy model cannot know: a tokenizer as small as the demo's has only the words of its own training."""

from __future__ import annotations

import re
from typing import Any, Final

LARGEST_TOY: Final = 5000
"""Tokens of the largest vocabulary that is taken for a toy's; Qwen2 has 151,665."""

_WORD = re.compile(r"[^\W\d_]+")
# <region>, <TEMP-012>: UFVideo's own tokens, known to every checkpoint; and the end of "the option's".
_NO_WORDS = re.compile(r"<[^<>\s]*>|\[SEG\]|'s\b")


def unknown_words(tokenizer: Any, question: str) -> tuple[str, ...]:
    """Words of a question that a toy's tokenizer has to spell in pieces, each once; none for a real model.

    A word is known as it stands, in lower case or with a capital, opening a text or behind a blank.
    """
    if len(tokenizer) > LARGEST_TOY:
        return ()
    words = dict.fromkeys(_WORD.findall(_NO_WORDS.sub(" ", question)))
    return tuple(word for word in words if not _is_known(tokenizer, word))


def _is_known(tokenizer: Any, word: str) -> bool:
    spellings = {word, word.lower(), word.capitalize()}
    return any(
        len(tokenizer.encode(blank + text, add_special_tokens=False)) == 1
        for text in spellings
        for blank in ("", " ")
    )


def note(words: tuple[str, ...], tokens: int) -> str:
    """One sentence for the reader of an answer."""
    quoted = ", ".join(f'"{word}"' for word in words)
    verb = "is" if len(words) == 1 else "are"
    return (
        f"this is a toy model, and {quoted} {verb} not among its {tokens} tokens: it knows only the shapes, "
        "colours and motions of the clips that it was trained on."
    )
