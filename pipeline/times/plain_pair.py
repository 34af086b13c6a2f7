"""A text that is one span and nothing else: "From 12.5 s to 20.0 s.", "{<TEMP-012><TEMP-047>}".

Most answers are of this kind. Lexemes give the same pair, in several times the time.
"""

from __future__ import annotations

import re

from pipeline.times.pairs import Pair
from pipeline.times.quantity import Quantity
from pipeline.times.text import Form

_NUMBERS = re.compile(
    r"(?:[Ff]rom )?(?P<a>[0-9]{1,5}(?:\.(?P<a_places>[0-9]{1,6}))?)(?P<a_unit> (?:s|sec|seconds))?"
    r" (?:to|-) (?P<b>[0-9]{1,5}(?:\.(?P<b_places>[0-9]{1,6}))?)(?P<b_unit> (?:s|sec|seconds))?\.?"
)
_TOKENS = re.compile(r"(?P<open>\{)?(?P<a><TEMP-0[0-9]{2}>)(?P<b><TEMP-0[0-9]{2}>)(?(open)\})\.?")
_ID = slice(len("<TEMP-"), -1)


def plain_pair(text: str) -> Pair | None:
    """The pair of a text of seconds, numbers without a unit or time tokens; None for any other text."""
    found = _NUMBERS.fullmatch(text)
    if found is not None:
        a, b = _number(found, "a"), _number(found, "b")
        return Pair(a=a, b=b, first=0, last=1, form=b.form or a.form)
    found = _TOKENS.fullmatch(text)
    if found is None:
        return None
    return Pair(a=_token(found, "a"), b=_token(found, "b"), first=0, last=1, form=Form.TOKENS)


def _number(found: re.Match[str], name: str) -> Quantity:
    unit = f"{name}_unit"
    seconds = found[unit] is not None
    at, places = 0 if name == "a" else 1, len(found[f"{name}_places"] or "")
    return Quantity(
        first=at,
        last=at,
        start=found.start(name),
        end=found.end(unit if seconds else name),
        value=float(found[name]),
        half=0.5 * 10.0**-places,
        form=Form.SECONDS if seconds else None,
    )


def _token(found: re.Match[str], name: str) -> Quantity:
    at = 0 if name == "a" else 1
    start, end = found.span(name)
    return Quantity(first=at, last=at, start=start, end=end, value=float(found[name][_ID]), form=Form.TOKENS)
