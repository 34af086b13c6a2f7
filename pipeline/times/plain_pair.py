"""A text that is one span and nothing else: "From 12.5 s to 20.0 s.", "{<TEMP-012><TEMP-047>}".

Most answers are of this kind. Lexemes give the same pair, in several times the time.
"""

from __future__ import annotations

import re

from pipeline.times import temporal
from pipeline.times.pairs import Pair
from pipeline.times.quantity import Quantity
from pipeline.times.spans import ParsedSpan
from pipeline.times.text import Form

_NUMBERS = re.compile(
    r"(?:[Ff]rom )?([0-9]{1,5}(?:\.([0-9]{1,6}))?)( (?:s|sec|seconds))?"
    r" (?:to|-) ([0-9]{1,5}(?:\.([0-9]{1,6}))?)( (?:s|sec|seconds))?\.?"
)
_TOKENS = re.compile(r"(\{)?(<TEMP-(0[0-9]{2})>)(<TEMP-(0[0-9]{2})>)(?(1)\})\.?")


def plain_pair(text: str) -> Pair | None:
    """The pair of a text of seconds, numbers without a unit or time tokens; None for any other text."""
    found = _NUMBERS.fullmatch(text)
    if found is not None:
        a, a_places, a_unit, b, b_places, b_unit = found.groups()
        first = _quantity(
            0, found.start(1), a + (a_unit or ""), a, a_places, Form.SECONDS if a_unit else None
        )
        last = _quantity(1, found.start(4), b + (b_unit or ""), b, b_places, Form.SECONDS if b_unit else None)
    elif (found := _TOKENS.fullmatch(text)) is not None:
        _, a, a_bin, b, b_bin = found.groups()
        first = _quantity(0, found.start(2), a, a_bin, None, Form.TOKENS)
        last = _quantity(1, found.start(4), b, b_bin, None, Form.TOKENS)
    else:
        return None
    return Pair(a=first, b=last, first=0, last=1, form=last.form or first.form)


def plain_span(text: str, duration_s: float) -> ParsedSpan | None:
    """The span of a text of seconds or time tokens that lies within the video; None for any other text."""
    found = _NUMBERS.fullmatch(text)
    if found is not None:
        a, _, a_unit, b, _, b_unit = found.groups()
        start_s, end_s = float(a), float(b)
        if not (a_unit or b_unit) or not start_s <= end_s <= duration_s:
            return None
        place = found.start(1), found.end(6 if b_unit else 4)
        return ParsedSpan(start_s, end_s, False, Form.SECONDS, text[place[0] : place[1]], place)
    found = _TOKENS.fullmatch(text)
    if found is None or not found[3] <= found[5]:
        return None
    bins, place = (int(found[3]), int(found[5])), (found.start(2), found.end(4))
    start_s, end_s = (temporal.to_seconds(bin_, duration_s) for bin_ in bins)
    return ParsedSpan(start_s, end_s, False, Form.TOKENS, text[place[0] : place[1]], place, bins)


def _quantity(
    at: int, start: int, written: str, number: str, places: str | None, form: Form | None
) -> Quantity:
    half = 0.0 if form is Form.TOKENS else 0.5 * 10.0 ** -len(places or "")
    return Quantity(
        first=at, last=at, start=start, end=start + len(written), value=float(number), half=half,
        form=form,
    )  # fmt: skip
