"""The ends of the video as ends of a span: "from 12 s to the end", "from the beginning until 5 s"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.times.lexer import Kind, Lexeme
from pipeline.times.quantity import Quantity

_SHOWN = r"(?:\sof\s(?:the|this)\s(?:(?:whole|entire|full)\s)?(?:video|clip|footage|recording)\b)"
# "the end of the street" and "the end credits" are not meant, nor is "the end (20 s)".
_END = re.compile(
    rf"(?:(?:the|its)\s)?(?:very\s)?end\b{_SHOWN}?"
    r"(?=[\"'*)\]}]{0,3}(?:\s{0,2}(?:[.,;!\n]|and\b|$|[)\]}])))(?![\s.,;:(\[*]{0,4}[0-9<])",
    re.IGNORECASE,
)
_JOIN = r"(?=\s{0,2}(?:(?:up\s)?to\b|until\b|till\b|through\b|[-–—→~]))"
_BEGINNING = r"(?:the\s)?(?:very\s)?(?:beginning|start)\b"
_FROM_START = re.compile(rf"{_BEGINNING}{_SHOWN}?{_JOIN}", re.IGNORECASE)
_AT_START = re.compile(rf"{_BEGINNING}{_SHOWN}(?=\s{{0,2}}(?:and\b|[,.;]))", re.IGNORECASE)
_FIRST_WORDS = {Kind.FILL, Kind.END, Kind.START, Kind.WORD}


def edge_at(text: str, lexemes: Sequence[Lexeme], at: int, role: Kind | None) -> Quantity | None:
    """The beginning or end of the video that is named by words which begin at a lexeme, else None.

    "The end" counts behind to, until, a dash, or "ends at"; "the beginning" behind "from" where to or until
    follows, and "the beginning of the video" behind "starts at".
    """
    if at == 0 or lexemes[at].kind not in _FIRST_WORDS:
        return None
    before, start = lexemes[at - 1].kind, lexemes[at].start
    found, edge = None, 1.0
    if before in (Kind.TO, Kind.UNTIL, Kind.DASH) or (before is Kind.AT and role is Kind.END):
        found = _END.match(text, start)
        if before is not Kind.AT:
            role = Kind.UNTIL
    elif before is Kind.FROM:
        found, edge, role = _FROM_START.match(text, start), 0.0, Kind.FROM
    elif before is Kind.AT and role is Kind.START:
        found, edge = _AT_START.match(text, start), 0.0
    if found is None:
        return None
    last = at
    while last + 1 < len(lexemes) and lexemes[last + 1].start < found.end():
        last += 1
    return Quantity(first=at, last=last, start=start, end=found.end(), value=0.0, edge=edge, role=role)
