"""Sentences of a plain text that state an answer: "the answer is B", "I would choose (b)", "B is correct"."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from evaluation.metrics.choice_letters import Mention, denied, mention, text_after

_FILL: Final = (
    r"(?:[\s:\"'-]{0,6}\b(?:that|therefore|thus|then|clearly|definitely|most likely|likely|probably|simply|"
    r"just|indeed|actually|the|both|either|following|action|number|correct|best)\b){0,3}[\s:\"'>-]{0,6}"
)
_LETTER: Final = (
    r"(?<![A-Za-z0-9_'-])(?=[(\[{\"']{0,2}\s{0,2}(?:(?:option|choice|letter|answer|选项)\s{0,2}[:#]?\s{0,2}[(\[\"']?)?"
    r"[A-Za-z](?![A-Za-z0-9_]|['-][A-Za-z]))"
)
_NOUN: Final = (
    r"\b(?:answers?|option|choice|solution|response|selection|conclusion|prediction|guess|letter)\b"
)
_VERB: Final = r"(?:(?:\b(?:is|are|was|be)\b|'s\b)|[\"']?\s{0,2}(?::|=|->|→))"
_ANSWER_IS: Final = _NOUN + r"[^.!?;:\n]{0,160}?" + _VERB + _FILL
_PICKED: Final = (
    r"\b(?:choose|chose|choosing|pick(?:ed|ing)?|select(?:ed|ing)?|(?:go|going|went) with|opt for|vote for|"
    r"settle on|say|guess|conclude)\b" + _FILL
)
_FORMS: Final = tuple(
    re.compile(opener + _LETTER, re.IGNORECASE)
    for opener in (
        _ANSWER_IS,
        _PICKED,
        r"\b(?:it|that|this|which)(?:'s|\s(?:is|was|would be|must be|should be))\b" + _FILL,
        r"\b(?:is|was)\b(?=[\s:\"'(]{1,4}(?-i:[A-Z])\s?[.,:)\"'\n])" + _FILL,
        r"\b(?:by|with|to|match(?:es)?|support(?:s|ing)?|mak(?:es|ing)|is)\s(?:the\s)?(?=(?:option|choice|answer)\b)",
        r"(?:答案|正确选项|正確選項)(?:应该|應該|应|就)?(?:是|为|為|选|選)?\s{0,2}:?\s{0,2}",
        r"(?:选择|選擇|应选|故选|选|選)(?:项|項)?\s{0,2}:?\s{0,2}",
        r"(?:^|(?<=[.!?\n,]))\s{0,3}(?:so|therefore|thus|hence|consequently|in conclusion)\b[\s,:]{1,3}",
    )
)
_ANSWER_TEXT: Final = re.compile(_NOUN + r"\s{0,2}" + _VERB + _FILL, re.IGNORECASE)
_RIGHT: Final = re.compile(
    _LETTER + r"(?P<letter>[^.!?;\n]{1,100}?)\b(?:is|was|would be|seems|appears|must be|should be)\s"
    r"(?:[a-z]+\s){0,3}?(?:correct|right|best|answer|accurate|appropriate|true|suitable)\b",
    re.IGNORECASE,
)
_ORDINAL: Final = re.compile(
    r"\b(?P<which>first|second|third|fourth|fifth) (?:option|choice|answer) (?:is|seems|appears) (?:to be )?"
    r"(?:the )?(?:most |best )?(?:correct|right|best|answer|accurate|appropriate|true|suitable)\b",
    re.IGNORECASE,
)
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth")
_CONCLUDES: Final = re.compile(
    r"\b(?:final|finally|so|therefore|thus|hence|consequently|conclusion|summary|overall)\b", re.IGNORECASE
)
_DOUBTS: Final = re.compile(
    r"\b(?:if|whether|unless|could|might|may|maybe|perhaps|possibly|other|second|remaining|compared|unlike|similar)\b",
    re.IGNORECASE,
)
_ENDS_SENTENCE: Final = re.compile(r"[.!](?=\s)|[?](?=\s|$)|\n")
_ENDS_CLAUSE: Final = re.compile(r"[.!?,;:](?=\s)|\n|\b(?:so|therefore|thus|hence)\b", re.IGNORECASE)
_LOOK = 300


_PATTERNS: Final = (*_FORMS, _ANSWER_TEXT, _RIGHT, _ORDINAL)
_TEXT_AT, _RIGHT_AT, _ORDINAL_AT = range(len(_FORMS), len(_PATTERNS))
_EVERY: Final = range(len(_PATTERNS))


def _possible(text: str) -> Collection[int]:
    """The numbers of ``_PATTERNS`` that can match a text: a part that all their matches have is in it.

    To look for these parts is much faster than to try the patterns. Only in ASCII: "ı" matches "i" where case
    is ignored.
    """
    if not text.isascii():
        return _EVERY
    t, found = text.lower(), list[int]()
    asked = "answer" in t or "option" in t or "choice" in t
    if (
        asked or "response" in t or "solution" in t or "selection" in t or "conclusion" in t
        or "prediction" in t or "guess" in t or "letter" in t
    ):  # fmt: skip
        found += (0, _TEXT_AT)
    if (
        "choos" in t or "chose" in t or "pick" in t or "select" in t or "go with" in t or "going with" in t
        or "went with" in t or "opt for" in t or "vote for" in t or "settle on" in t or "say" in t
        or "guess" in t or "conclude" in t
    ):  # fmt: skip
        found.append(1)
    if "is" in t or "was" in t:
        found.append(3)
    if ("it" in t or "that" in t or "this" in t or "which" in t) and (
        "is" in t or "was" in t or "be" in t or "'s" in t
    ):
        found.append(2)
    if asked:
        found += (4, _ORDINAL_AT)
    if "so" in t or "therefore" in t or "thus" in t or "hence" in t or "consequently" in t or "in con" in t:
        found.append(7)
    if (
        "correct" in t or "right" in t or "best" in t or "answer" in t or "accurate" in t
        or "appropriate" in t or "true" in t or "suitable" in t
    ):  # fmt: skip
        found.append(_RIGHT_AT)
    return found


class Statement(NamedTuple):
    """An answer that is stated. Of one without a letter ``mention`` is None and ``text`` the option.

    ``concludes``: it is the conclusion, so what was said before it may differ.
    """

    start: int
    mention: Mention | None
    text: int | None
    concludes: bool


def statements(text: str, options: Sequence[Sequence[str]]) -> list[Statement]:
    """Every stated answer of a plain text, in reading order."""
    found: dict[int, Statement] = {}
    possible, letters = _possible(text), dict[int, Mention | None]()
    for number in sorted(possible):
        if number >= len(_FORMS):
            break
        for one in _FORMS[number].finditer(text):
            at = one.end()  # several patterns may lead to one letter
            if at not in letters:
                letters[at] = mention(text, at, options, announced=True)
            _add(found, text, one.start(), at, letters[at], None)
    for one in _RIGHT.finditer(text) if _RIGHT_AT in possible else ():
        if not denied(one[0]):
            _add(found, text, one.start(), one.start(), mention(text, one.start(), options), None)
    for one in _ANSWER_TEXT.finditer(text) if _TEXT_AT in possible else ():
        if one.end() not in found:
            _add(found, text, one.start(), one.end(), None, text_after(text, one.end(), options))
    for one in _ORDINAL.finditer(text) if _ORDINAL_AT in possible else ():
        index = _ORDINALS.index(one["which"].lower())
        if index < len(options):
            _add(found, text, one.start(), one.start(), None, index)
    last = _last_line(text, options)
    if last is not None:
        found.setdefault(last.start, last)
    return [found[place] for place in sorted(found)]


def _add(
    found: dict[int, Statement], text: str, start: int, at: int, letter: Mention | None, option: int | None
) -> None:
    """Keep a statement unless its clause denies it, or its sentence doubts it or asks."""
    if letter is None and option is None:
        return
    begin = max(0, start - _LOOK)
    sentence = _after_last(_ENDS_SENTENCE, text, begin, start)
    clause = _after_last(_ENDS_CLAUSE, text, sentence, start)
    behind = at if letter is None else letter.end + (text[letter.end : letter.end + 1] == ".")
    end = _ENDS_SENTENCE.search(text, behind, at + _LOOK) if "?" in text else None
    asks = end is not None and "?" in text[at : end.end()]
    if asks or _unsure(text[clause:at]):
        return
    concludes = bool(_CONCLUDES.search(text, sentence, at))
    found[at] = Statement(start=at, mention=letter, text=option, concludes=concludes)


@lru_cache(maxsize=1 << 12)  # a model begins most answers with the same words
def _unsure(told: str) -> bool:
    """Whether the words in front of an answer deny or doubt it."""
    return denied(told) or bool(_DOUBTS.search(told))


def _after_last(pattern: re.Pattern[str], text: str, begin: int, stop: int) -> int:
    place = begin
    for one in pattern.finditer(text, begin, stop):
        place = one.end()
    return place


def _last_line(text: str, options: Sequence[Sequence[str]]) -> Statement | None:
    """A last line of nothing but a letter, or a letter with its option's text, behind other lines."""
    before, _, line = text.rpartition("\n")
    start = len(text) - len(line)
    if not before.strip() or len(line) > 400:
        return None
    one = mention(text, start, options)
    if one is None or not (one.marked and (one.text == one.option or len(line) <= one.end - start + 1)):
        return None
    if any(mention(above.strip(), 0, options) for above in before.splitlines()):
        return None  # one of a list
    return Statement(start=start, mention=one, text=None, concludes=True)
