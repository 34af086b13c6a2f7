"""Pairs that say what is shown, beside the one that answers: "In the clip (0-30s) he falls at 12-20s"."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.times.lexer import Kind, Lexeme
from pipeline.times.pairs import Pair
from pipeline.times.spans import ParsedSpan, Ruler
from pipeline.times.temporal import NOISE_S

_SHOWN = frozenset(("video", "clip", "footage", "recording"))
_RUNS = frozenset(("is", "runs", "lasts", "spans", "covers", "goes", "duration", "length"))
_ALL_THROUGH = frozenset(("throughout", "during", "through", "over"))
_LOOK_BACK, _MOST = 6, 20  # lexemes; pairs


def described(text: str, lexemes: Sequence[Lexeme], pairs: Sequence[Pair], ruler: Ruler) -> list[Pair]:
    """The pairs that describe what is shown, where another pair lies within them.

    That is a pair alone in brackets right behind "video", "clip" or their like, or one that is the whole of
    the video and follows them ("the video runs from 0 to 30 s"). Behind "throughout" or its like it is an
    answer.
    """
    if len(pairs) < 2:
        return []
    candidates = [(pair, how) for pair in pairs if (how := _how(text, lexemes, pair)) is not None]
    if not candidates:
        return []
    spans = [span for pair in pairs if isinstance(span := ruler.span(pair), ParsedSpan)]
    found = []
    for pair, how in candidates[:_MOST]:
        span = ruler.span(pair)
        if not isinstance(span, ParsedSpan):
            continue
        all_of_it = span.start_s <= NOISE_S and span.end_s >= ruler.duration_s - NOISE_S
        if (how or all_of_it) and any(_within(other, span) for other in spans):
            found.append(pair)
    return found


def _how(text: str, lexemes: Sequence[Lexeme], pair: Pair) -> bool | None:
    """Whether brackets behind the noun hold the pair; False: it follows the noun otherwise; None: neither."""
    first, last = pair.a.first, pair.b.last
    at = first - 1
    brackets = at > 0 and lexemes[at].kind is Kind.OPEN and _kind(lexemes, last + 1) is Kind.CLOSE
    if brackets:
        at -= 1
    for place in range(at, max(at - _LOOK_BACK, -1), -1):
        lexeme = lexemes[place]
        word = text[lexeme.start : lexeme.end].lower()
        if word in _SHOWN:
            before = {text[one.start : one.end].lower() for one in lexemes[max(place - 4, 0) : place]}
            return None if before & _ALL_THROUGH else brackets
        plain = lexeme.kind in (Kind.MARK, Kind.FROM, Kind.BETWEEN) or word in _RUNS
        if lexeme.kind is not Kind.MARK and (brackets or not plain):
            return None
    return None


def _within(other: ParsedSpan, span: ParsedSpan) -> bool:
    if (other.start_s, other.end_s) == (span.start_s, span.end_s):
        return False
    return span.start_s - NOISE_S <= other.start_s and other.end_s <= span.end_s + NOISE_S


def _kind(lexemes: Sequence[Lexeme], at: int) -> Kind | None:
    return lexemes[at].kind if at < len(lexemes) else None
