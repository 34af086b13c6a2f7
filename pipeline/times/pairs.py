"""Quantities -> pairs: which two of them are start and end of one span, and in which form.

Two quantities are a pair when the text says so:

* "to", "until", a dash or an arrow stands between them, and nothing but words such as "the" and "about";
* "and" after "between";
* one is led by start words (starts, begin, from) and the next one by end words (ends, stop, until), with
  anything but another time in between;
* a bracket holds just these two, or ``<12.5> <20.0>`` stand side by side;
* the two are the whole text, parted by a comma or by space;
* both are time tokens that ``temporal.read`` would pair.

A number without a unit takes that of its partner, and a pair without one that of the next or last pair in a
list ("12-20, 30-40 seconds").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from pipeline.times.lexer import Kind, Lexeme
from pipeline.times.quantity import Problem, Quantity, Refusal
from pipeline.times.text import Form


@dataclass(kw_only=True, slots=True, eq=False)
class Pair:
    """Start and end of a span. ``form`` is None where neither has a unit."""

    a: Quantity
    b: Quantity
    first: int  # its quantities in the text, both included
    last: int
    form: Form | None = None
    scale: float = 1.0
    problem: Problem | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Its position in the text."""
        return self.a.start, self.b.end


class Gap(NamedTuple):
    """The text between two quantities."""

    words: bool = False  # anything that a span may not contain
    fill: int = 0  # words that it may contain
    joins: int = 0  # to, until, a dash, an arrow
    tilde: bool = False
    both: bool = False  # and
    parts: int = 0  # commas and ends of lines
    opens: int = 0
    closes: int = 0
    angles: int = 0


_START = {Kind.START, Kind.FROM}
_END = {Kind.END, Kind.UNTIL}
_JOINS = {Kind.TO, Kind.UNTIL, Kind.DASH}
_FILL = {Kind.FILL, Kind.FRAME, Kind.FRACTION, *_START, Kind.END, Kind.AT, Kind.BETWEEN}
_QUIET = {Kind.MARK, Kind.TAG}
_ASIDE = _FILL | _QUIET | {Kind.OPEN, Kind.CLOSE, Kind.COMMA, Kind.GLUE, Kind.LINE, Kind.STOP}
_INHERITED = {Form.SECONDS, Form.FRACTIONS, Form.FRAMES, Form.PERCENTS}
_NO_GAP = Gap()
_LOOK_AHEAD = 8  # bare numbers that may stand between "starts at 12 s" and "ends at 20 s"


def pairs(text: str, lexemes: Sequence[Lexeme], quantities: Sequence[Quantity]) -> list[Pair]:
    """Every pair of a text, in reading order; a quantity belongs to one at most."""
    reader = _Pairs(text, lexemes, quantities)
    made = reader.read()
    reader.hand_on_units(made)
    return made


def whole(lexemes: Sequence[Lexeme], quantities: Sequence[Quantity]) -> bool:
    """Whether a text holds nothing but these quantities."""
    own = {index for q in quantities for index in range(q.first, q.last + 1)}
    return all(i in own or lexeme.kind in _ASIDE or _unit_word(lexeme) for i, lexeme in enumerate(lexemes))


class _Pairs:
    def __init__(self, text: str, lexemes: Sequence[Lexeme], quantities: Sequence[Quantity]) -> None:
        self._text, self._lexemes, self._quantities = text, lexemes, quantities
        self._sizes: dict[int, int] = {}
        for quantity in quantities:
            self._sizes[quantity.group] = self._sizes.get(quantity.group, 0) + 1
        self._whole = len(quantities) == 2 and whole(lexemes, quantities)

    def read(self) -> list[Pair]:
        made: list[Pair] = []
        at = 0
        while at < len(self._quantities):
            pair = self._pair(at)
            if pair is None:
                at += 1
            else:
                made.append(pair)
                at = pair.last + 1
        return made

    def _pair(self, at: int) -> Pair | None:
        if at + 1 >= len(self._quantities):
            return None
        a, b = self._quantities[at], self._quantities[at + 1]
        gap = self._gap(at)
        if _no_span(a, b):
            return None
        if self._joined(gap) or self._tied(a, b, gap):
            pair = Pair(a=a, b=b, first=at, last=at + 1)
            chain = self._chained(pair, gap)
            if chain and a.edge is not None:
                return None
            return chain or self._with_form(pair, commas=bool(gap.joins or gap.tilde or gap.both))
        end = self._led(at)
        if end is None or _no_span(a, self._quantities[end]):
            return None
        return self._with_form(Pair(a=a, b=self._quantities[end], first=at, last=end), commas=True)

    def _joined(self, gap: Gap) -> bool:
        """A word or sign for "to" in between. An opening bracket alone belongs to another span."""
        if gap.words or gap.parts > 1 or gap.opens > gap.closes:
            return False
        return gap.joins == 1 or (gap.joins == 0 and gap.tilde and not gap.both and not gap.parts)

    def _tied(self, a: Quantity, b: Quantity, gap: Gap) -> bool:
        if gap.words or gap.joins:
            return False
        if gap.both and a.role is Kind.BETWEEN:
            return True
        if a.form is Form.TOKENS and b.form is Form.TOKENS:
            return not (gap.fill or gap.opens or gap.closes or (gap.both and gap.parts))
        if gap.both or a.role is Kind.AT or gap.fill:
            return False
        if a.group == b.group >= 0 and self._sizes[a.group] == 2 and gap.parts and not gap.opens:
            return True
        return self._whole or (gap.angles == 2 and gap.opens == 1 and not gap.parts)

    def _led(self, at: int) -> int | None:
        """Index of the quantity that ends the span begun here, by the words that lead to them."""
        a = self._quantities[at]
        if a.role not in _START:
            return None
        for ahead in range(at + 1, min(at + 2 + _LOOK_AHEAD, len(self._quantities))):
            b = self._quantities[ahead]
            if b.role in _END:
                # "from" and "until" alone, far apart, are too weak for a number that may count anything.
                weak = b.bare and (a.role is Kind.FROM or b.role is Kind.UNTIL)
                return None if weak else ahead
            if not b.bare or b.role is not None:
                return None
        return None

    def _chained(self, pair: Pair, gap: Gap) -> Pair | None:
        """2024-05-12, or 1 - 12.5 - 20 s: it is unclear which two are meant."""
        if not gap.joins or pair.last + 1 >= len(self._quantities):
            return None
        if (self._quantities[pair.last + 1].bare and not pair.b.bare) or (
            self._quantities[pair.last + 1].edge is not None
        ):
            return None  # 0:00 - 0:12 - 5 people come in
        last = pair.last
        while last + 1 < len(self._quantities) and self._joined(self._gap(last)):
            last += 1
        if last == pair.last:
            return None
        chain = self._quantities[pair.first : last + 1]
        start, end = chain[0].start, chain[-1].end
        pair.last, pair.b = last, chain[-1]
        pair.form = next((q.form for q in chain if q.form is not None), None)
        pair.problem = Problem(
            Refusal.AMBIGUOUS, f"{self._text[start:end]}: {len(chain)} times in a row", start, end
        )
        return pair

    def _with_form(self, pair: Pair, *, commas: bool) -> Pair:
        a, b = pair.a, pair.b
        if commas and a.comma and b.comma:  # 12,5 s to 20,0 s: nothing else has a comma at both ends
            a.value, a.half = a.comma
            b.value, b.half = b.comma
            a.problem = b.problem = None
        pair.problem = a.problem or b.problem
        forms = {q.form for q in (a, b) if q.form is not None}
        excerpt = self._text[a.start : b.end]
        if not forms:
            return pair
        pair.form, pair.scale = (b if b.form is not None else a).form, (b if b.form is not None else a).scale
        if pair.problem:
            return pair
        if a.bare or b.bare:
            if not self._shared(a, b):
                pair.problem = Problem(Refusal.AMBIGUOUS, f"{excerpt}: one end has no unit", *pair.place)
        elif forms == {Form.SECONDS, Form.CLOCK}:
            pair.form = Form.CLOCK
        elif len(forms) > 1:
            names = f"{a.form} and {b.form}"
            pair.problem = Problem(Refusal.MIXED, f"{excerpt}: {names}", *pair.place)
        return pair

    def _shared(self, a: Quantity, b: Quantity) -> bool:
        """Whether the unit of one end is that of the other: not in "1:12 to 20", which may mean 1:20."""
        if b.bare:
            return a.form in _INHERITED and a.scale == 1
        return b.form in _INHERITED or (b.form is Form.CLOCK and b.last == b.first + 1 and b.scale > 1)

    def hand_on_units(self, made: Sequence[Pair]) -> None:
        """Units along lists: backwards first, as in "12-20 and 30-40 seconds", then forwards."""
        for before, after in zip(reversed(made[:-1]), reversed(made[1:]), strict=True):
            self._inherit(before, after, before)
        for before, after in pairwise(made):
            self._inherit(after, before, before)

    def _inherit(self, to: Pair, giver: Pair, before: Pair) -> None:
        if to.form is not None or giver.form not in _INHERITED or to.problem:
            return
        gap = self._gap(before.last)
        if not (gap.words or gap.joins or gap.tilde) and (gap.both or gap.parts):
            to.form, to.scale = giver.form, giver.scale

    def _gap(self, at: int) -> Gap:
        """The text between quantity ``at`` and the next one."""
        if at + 1 >= len(self._quantities):
            return _NO_GAP
        first, stop = self._quantities[at].last + 1, self._quantities[at + 1].first
        if first == stop:
            return _NO_GAP
        fill = joins = parts = opens = closes = angles = 0
        tilde = both = words = False
        for lexeme in self._lexemes[first:stop]:
            kind = lexeme.kind
            if kind in _JOINS:
                joins += 1
            elif kind in _FILL or _unit_word(lexeme):
                fill += 1
            elif kind in (Kind.COMMA, Kind.GLUE, Kind.LINE):
                parts += 1
            elif kind in (Kind.OPEN, Kind.CLOSE):
                opens += kind is Kind.OPEN
                closes += kind is Kind.CLOSE
                angles += int(lexeme.value)
            elif kind is Kind.TILDE:
                tilde = True
            elif kind is Kind.AND:
                both = True
            elif kind not in _QUIET:
                words = True
        return Gap(words, fill, joins, tilde, both, parts, opens, closes, angles)


def _no_span(a: Quantity, b: Quantity) -> bool:
    """Whether an end of the video cannot be an end of this pair.

    "From the beginning to the end" tells nothing, "32 frames to the end" counts them, and nothing ends at the
    beginning or begins at the end.
    """
    if a.edge is not None and b.edge is not None:
        return True
    return a.edge == 1 or b.edge == 0 or (b.edge == 1 and a.counted)


def _unit_word(lexeme: Lexeme) -> bool:
    """A unit in front of its number, as in "second 12"."""
    return lexeme.kind is Kind.UNIT and lexeme.value == 1 and lexeme.end - lexeme.start > 1
