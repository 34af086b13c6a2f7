"""Letters that stand for options in a plain text, distinguished from the article "A" and other words."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Final, NamedTuple

from evaluation.metrics.choice_text import words

_LETTER: Final = re.compile(
    r"(?P<open>[(\[{\"']\s{0,2}){0,2}"
    r"(?P<title>(?i:option|choice|letter|answer|选项)\s{0,2}[:#]?\s{0,2}(?P<inner>[(\[\"'])?)?"
    r"(?P<letter>[A-Za-z])(?![A-Za-z0-9_]|['-][A-Za-z])(?P<close>\s{0,2}[)\]}\"'])?"
)
_MARK: Final = re.compile(r"\s{0,2}(?:[.:)\]](?![a-z]\.)|[,;!]|\s[-–—=](?=\s)|$|\n)")
_SMALL_MARK: Final = re.compile(r"\s{0,2}(?:[.:)\]](?=\s|$)|$|\n)")  # "b, " and "a - " may be words
_REASON: Final = re.compile(
    r"[\s,.:;)\"']{0,4}\b(?:because|since|as|due|for|given|based|while|whereas|although|rather|instead|not|but|"
    r"is|was|seems|appears|would|must|should|can|cannot|could)\b",
    re.IGNORECASE,
)
_BECAUSE: Final = re.compile(
    r"\s+(?:because|since|due to|as (?:the|it|he|she|they|we|there|you)|"
    r"(?:is|was|seems|appears|must be|would be) "
    r"(?:[a-z]+ ){0,3}?(?:correct|right|best|answer|accurate|appropriate|true|suitable))\b"
)
_AND: Final = re.compile(
    r"(?:(?:,\s{0,2})?(?:\band\s{0,2}/\s{0,2}or|\bor|\band|\bplus|\bversus|\bvs\.?)\b|[,/&+;|]|和|或|及)\s{0,2}"
    r"(?:(?:maybe|perhaps|possibly|also|both|even|then|the|option|choice)\s{1,2}){0,3}",
    re.IGNORECASE,
)
_MAY_JOIN: Final = re.compile(r"[,/&+;|和或及]|or|and|plus|vs|versus", re.IGNORECASE)  # a part of each
_GAP: Final = re.compile(r"[\s.,:;)\]}\"'–—-]{0,8}")
_CLAUSE: Final = re.compile(r"[^.!?;\n]{0,400}")
_DENIED: Final = re.compile(
    r"n't\b|\b(?:not|no|never|neither|nor|cannot|incorrect|wrong|false|impossible|irrelevant|unlikely|"
    r"ruled out|eliminated?|excluded?|invalid)\b",
    re.IGNORECASE,
)
_ALSO_A_WORD: Final = "AI"
_ARTICLE: Final = re.compile(
    r"[AI] (?!(?:is|was|because|since|as|and|or|but|for|not)\b)[a-z]"
)  # "Answer: A man"
_CLAUSE_WORDS, _CLAUSE_CHARACTERS = 60, 400
_CLOSING: Final = re.compile(r"\s{0,2}[.)\]]?\s{0,2}")
_STOPS: Final = re.compile(r"[.!?](?=\s[^a-z]|\s?$)|\n")


def denied(text: str) -> bool:
    """Whether words such as "not" or "wrong" stand in a text."""
    return bool(_DENIED.search(text))


class Mention(NamedTuple):
    """A letter that stands for an option, whose number may lie beyond the options.

    ``marked``: a bracket, a full stop or the end of the line tells it from a word. ``text`` is the option
    whose words begin the clause after it, ``others`` the letters listed together with it.
    """

    option: int
    start: int
    end: int
    marked: bool
    text: int | None
    others: frozenset[int] = frozenset()


def mention(
    text: str, at: int, options: Sequence[Sequence[str]], *, announced: bool = False
) -> Mention | None:
    """The letter of an option that stands at a place of a plain text; None for any other word.

    ``options``: the words of each. ``announced``: words such as "the answer is" stand in front, so that a
    capital needs no mark, unless it is a word as well: "the answer is A man".
    """
    one = _lone(text, at, options, announced)
    if one is None:
        return None
    others = _next_to(text, one.end) | _in_same_clause(text, one.end)
    return one._replace(others=frozenset(others - {one.option})) if others else one


def _lone(text: str, at: int, options: Sequence[Sequence[str]], announced: bool) -> Mention | None:
    found = _LETTER.match(text, at)
    if found is None:
        return None
    capital, end = found["letter"].isupper(), found.end()
    opened = found["open"] or found["inner"]
    marked = bool(found["close"] and (opened or found["close"].strip() in ")]")) or bool(
        (_MARK if capital or announced else _SMALL_MARK).match(text, end)
    )
    follows = text_after(text, end, options)
    index = _index(found)
    if capital and not marked:
        plain = index < len(options) and (
            (bool(found["title"]) and not _ARTICLE.match(text, found.start("letter")))
            or (
                follows == index and (found["letter"] not in _ALSO_A_WORD or _only(text, end, options[index]))
            )
            or bool(_BECAUSE.match(text, end))
            or bool(_next_to(text, end))
            or (announced and (found["letter"] not in _ALSO_A_WORD or bool(_REASON.match(text, end))))
        )
    else:
        plain = marked
    return Mention(option=index, start=at, end=end, marked=marked, text=follows) if plain else None


def _only(text: str, end: int, option: Sequence[str]) -> bool:
    """Whether the clause behind a letter is an option's text: "A running", but not "A running man"."""
    clause = _CLAUSE.match(text, end)
    return clause is not None and words(clause[0]) == list(option)


def text_after(text: str, end: int, options: Sequence[Sequence[str]]) -> int | None:
    """The one option with whose words the clause behind a place begins, unless something in it is denied."""
    clause = _CLAUSE.match(text, _GAP.match(text, end).end())  # type: ignore[union-attr]
    said = words(clause[0])[:_CLAUSE_WORDS] if clause else []
    if not said:
        return None
    own = [list(option) for option in options]
    if said not in own and denied(clause[0]):  # type: ignore[index]
        return None
    found = [index for index, option in enumerate(own) if option and said[: len(option)] == option]
    longest = max((len(own[index]) for index in found), default=0)  # the others are its first words
    found = [index for index in found if len(own[index]) == longest]
    return found[0] if len(found) == 1 else None


def _next_to(text: str, end: int) -> set[int]:
    """Letters right behind one: "A or B", "A, B and C", "(A)(B)", "A/B". "B, (C) is impossible" has none."""
    found: set[int] = set()
    for _ in string.ascii_uppercase:
        gap = _CLOSING.match(text, end)
        joined = _AND.match(text, gap.end() if gap else end)
        other = _LETTER.match(text, joined.end() if joined else gap.end() if gap else end)
        if other is None or (other.start() == end and not other["open"]):
            return found
        if not (other["letter"].isupper() or (other["open"] and other["close"])):
            return found
        last = other.end()
        listed = joined and _AND.match(text, last + (text[last : last + 1] == " "))
        joins = joined is not None and joined[0].strip() not in ",|;" and other["letter"] not in _ALSO_A_WORD
        loose = not (other["close"] or _MARK.match(text, last) or listed or joins)
        if loose or _REASON.match(text, last):
            return found
        found.add(_index(other))
        end = last
    return found


def _in_same_clause(text: str, end: int) -> set[int]:
    """Letters that "or", "and" or a comma adds behind an option's text: "(A) red or (B) blue"."""
    limit = min(len(text), end + _CLAUSE_CHARACTERS)
    for stops, begin in ((_STOPS, end + 2), (_REASON, end)):
        stop = stops.search(text, begin, limit)
        limit = stop.start() if stop else limit
    found: set[int] = set()
    if not _MAY_JOIN.search(text, end, limit):
        return found
    for joined in _AND.finditer(text, end, limit):
        other = _LETTER.match(text, joined.end())
        if other and (
            (other["open"] and other["close"])
            or (
                other["letter"].isupper()
                and (other["close"] or text[other.end() : other.end() + 2] in (". ", ": "))
            )
        ):
            found.add(_index(other))
    return found


def _index(found: re.Match[str]) -> int:
    return ord(found["letter"].upper()) - ord("A")
