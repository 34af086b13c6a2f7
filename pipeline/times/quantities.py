"""Lexemes -> quantities: each number or token that may be a time, with its unit and its part."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from pipeline.times.edges import edge_at
from pipeline.times.lexer import Kind, Lexeme
from pipeline.times.quantity import Problem, Quantity, Refusal
from pipeline.times.temporal import LAST_BIN
from pipeline.times.text import Form

_ROLES = {Kind.START, Kind.FROM, Kind.END, Kind.UNTIL, Kind.AT, Kind.BETWEEN, Kind.LASTING}
_WEAK = {None, Kind.LASTING}  # what "at" replaces: "starts at" stays a start
_KEEPS_ROLE = {Kind.FILL, Kind.MARK, Kind.OPEN, Kind.LINE, Kind.TILDE, Kind.BULLET, Kind.TAG, Kind.CLOSE}
_NUMBERS = {Kind.NUMBER, Kind.NOT_FINITE}
_ENDS = _NUMBERS | {Kind.BIN, Kind.CLOCK, Kind.UNIT, Kind.PERCENT, Kind.ORDINAL, Kind.FRAME, Kind.CLOSE}
_GOES_ON = {Kind.UNIT, Kind.PERCENT, Kind.ORDINAL, Kind.FRAME, Kind.MARK, Kind.FILL, Kind.OPEN, Kind.CLOSE}
_BEYOND = (None,) * 4  # more than is ever looked ahead
_OF_VIDEO = re.compile(
    r"\s{0,3}[()]?\s{0,3}of the (?:(?:whole|entire|full|total) )?(?:video|clip|duration|length)\b",
    re.IGNORECASE,
)
_QUOTES, _MOST_QUOTES = "*`\"'”’", 2
_LONGEST_SHORT_UNIT = 2  # "s", "ms": units only right behind a number


def quantities(text: str, lexemes: Sequence[Lexeme], *, edges: bool = False) -> list[Quantity]:
    """Everything in a text that may be a time, in reading order; with ``edges`` "the end" and its like."""
    return _Reader(text, lexemes, edges).read()


class _Reader:
    def __init__(self, text: str, lexemes: Sequence[Lexeme], edges: bool) -> None:
        self._text, self._lexemes, self._edges = text, lexemes, edges
        self._kinds = [*(lexeme.kind for lexeme in lexemes), *_BEYOND]  # index -1 is beyond, too
        self._found: list[Quantity] = []
        self._role: Kind | None = None
        self._unit: tuple[Form, float] | None = None  # from a word in front: "frames 12", "second 12"
        self._open: list[int] = []

    def read(self) -> list[Quantity]:
        at = 0
        while at < len(self._lexemes):
            kind = self._lexemes[at].kind
            if kind in _NUMBERS:
                at = self._add(self._number(at))
            elif kind is Kind.CLOCK:
                at = self._add(self._clock(at))
            elif kind in (Kind.BIN, Kind.FOREIGN):
                at = self._add(self._token(at))
            elif self._edges and (edge := edge_at(self._text, self._lexemes, at, self._role)):
                at = self._add(edge)
            else:
                self._pass(at)
                at += 1
        return self._found

    def _add(self, quantity: Quantity) -> int:
        quantity.role = self._role if quantity.edge is None else quantity.role
        quantity.group = self._open[-1] if self._open else -1
        self._found.append(quantity)
        self._role = self._unit = None
        return quantity.last + 1

    def _pass(self, at: int) -> None:
        """Remember what a word or sign means for the next quantity."""
        kind = self._lexemes[at].kind
        if kind is Kind.OPEN:
            self._open.append(at)
        elif kind is Kind.CLOSE and self._open:
            self._share_unit(self._open.pop(), at + 1)
        unit = self._leading_unit(at)
        if unit is not None:
            self._unit = unit
        elif kind is Kind.TO and at and self._quoted(at - 1).lower() == "up":
            self._role = Kind.LASTING  # "up to 5-70%": how much, not when
        elif kind in _ROLES:
            if kind is not Kind.AT or self._role in _WEAK:
                self._role = kind
        elif kind not in _KEEPS_ROLE and not (kind is Kind.DASH and self._leads(at)):
            self._role = self._unit = None

    def _share_unit(self, group: int, at: int) -> None:
        """Give the numbers of a bracket the unit right behind it: [12.5, 20.0] seconds."""
        if self._kinds[at] not in (Kind.UNIT, Kind.PERCENT) or self._quoted(at).lower() == "m":
            return
        members = [q for q in self._found if q.group == group]
        # One number alone may count a list: "(1) Second, a man ...".
        if len(members) < 2 or any(q.form is not None or q.problem is not None for q in members):
            return
        for quantity in members:
            if self._kinds[at] is Kind.PERCENT:
                quantity.form = Form.PERCENTS
            else:
                quantity.scale = self._lexemes[at].value
                quantity.form = Form.SECONDS if quantity.scale <= 1 else Form.CLOCK

    def _leads(self, at: int) -> bool:
        return at + 1 < len(self._lexemes) and self._lexemes[at + 1].kind in _NUMBERS

    def _leading_unit(self, at: int) -> tuple[Form, float] | None:
        lexeme = self._lexemes[at]
        if lexeme.kind is Kind.FRAME:
            return Form.FRAMES, 1.0
        if lexeme.kind is Kind.FRACTION:
            return Form.FRACTIONS, 1.0
        if lexeme.kind is Kind.UNIT and lexeme.value <= 1:
            in_brackets = self._kinds[at - 1] is Kind.OPEN and self._kinds[at + 1] is Kind.CLOSE
            if in_brackets or lexeme.end - lexeme.start > _LONGEST_SHORT_UNIT:
                return Form.SECONDS, lexeme.value
        return None

    # ------------------------------------------------------------------------------------------ one quantity

    def _token(self, at: int) -> Quantity:
        lexeme = self._lexemes[at]
        excerpt = self._text[lexeme.start : lexeme.end]
        problem = None
        if lexeme.kind is Kind.FOREIGN:
            problem = f"{excerpt} is of another vocabulary, whose rounding rule is not this one"
        elif lexeme.value > LAST_BIN:
            problem = f"{excerpt} is none of the bins 0-{LAST_BIN}"
        quantity = self._new(at, at, lexeme.value, Form.TOKENS)
        quantity.problem = self._problem(Refusal.BAD_TOKEN, problem, quantity) if problem else None
        return quantity

    def _clock(self, at: int) -> Quantity:
        lexeme, negative = self._lexemes[at], self._negative(at)
        last = at
        follows = self._kinds[at + 1]
        if follows is Kind.UNIT:
            last = at + 1  # the unit only repeats the colon
        value = -lexeme.value if negative else lexeme.value
        quantity = self._new(at - negative, last, value, Form.CLOCK, lexeme.half)
        excerpt = self._text[quantity.start : quantity.end]
        if math.isnan(lexeme.value):
            problem = f"{excerpt}: minutes and seconds run from 0 to 59, and there are two or three fields"
            quantity.problem = self._problem(Refusal.BAD_CLOCK, problem, quantity)
        elif follows is Kind.UNIT and not self._clock_unit(lexeme, self._lexemes[last]):
            problem = f"{excerpt}: a clock time or a number"
            quantity.problem = self._problem(Refusal.AMBIGUOUS, problem, quantity)
        return quantity

    def _clock_unit(self, clock: Lexeme, unit: Lexeme) -> bool:
        """Whether a unit behind a clock time only repeats it: 0:12 seconds, 1:20 minutes, 12:34.56s."""
        glued = clock.end == unit.start and unit.value == 1
        return glued or (clock.value < 60 and unit.value == 1) or unit.value == 60

    def _number(self, at: int) -> Quantity:
        lexeme = self._lexemes[at]
        value = math.nan if lexeme.kind is Kind.NOT_FINITE else lexeme.value
        last, glued = self._glued(at)
        number_end = last
        negative = self._negative(at)
        quantity = self._new(at - negative, last, -value if negative else value, None, lexeme.half)
        if not glued and self._unit is None and self._kinds[last + 1] not in _GOES_ON:
            return quantity  # most numbers of a long text
        if self._kinds[last + 1] is Kind.ORDINAL:
            last += 1
        last = self._unquoted(last)
        follows = self._kinds[last + 1]
        if follows is Kind.PERCENT:
            last, quantity.form = last + 1, Form.PERCENTS
        elif follows is Kind.FRAME and not self._led(last + 1):
            ordinal = self._kinds[last] is Kind.ORDINAL
            last, quantity.form, quantity.counted = last + 1, Form.FRAMES, True
            if ordinal:
                self._spoil(quantity, last, Refusal.AMBIGUOUS, "frames may be counted from 0 or from 1")
        elif follows is Kind.UNIT:
            last += 1
            quantity.scale = self._lexemes[last].value
            quantity.form = Form.SECONDS if quantity.scale <= 1 else Form.CLOCK
            metres = self._quoted(last).lower() == "m"
            more = self._smaller_units(quantity, last)
            if metres and more == last:
                self._spoil(quantity, last, Refusal.AMBIGUOUS, "minutes or metres")
            last = more
        elif self._unit is not None:
            quantity.form, quantity.scale = self._unit
        elif value <= 1 and _OF_VIDEO.match(self._text, self._lexemes[last].end):
            quantity.form = Form.FRACTIONS
        quantity.last, quantity.end = last, self._lexemes[last].end
        if glued:
            quantity.comma = self._decimal_comma(at, number_end, negative)
            self._spoil(
                quantity, last, Refusal.AMBIGUOUS, "the comma may part thousands, decimals or two numbers"
            )
        return quantity

    def _unquoted(self, last: int) -> int:
        """Last lexeme before the unit of a number in quotes or asterisks: **12.5** seconds."""
        at = last + 1
        while at <= last + _MOST_QUOTES and self._kinds[at] is Kind.MARK and self._quoted(at) in _QUOTES:
            at += 1
        return at - 1 if self._kinds[at] in (Kind.UNIT, Kind.PERCENT) else last

    def _led(self, at: int) -> bool:
        """Whether a word for frames belongs to the number behind it: "at 12 s, frame 30", "Frame12"."""
        return self._kinds[at + 1] is Kind.NUMBER or (
            self._kinds[at + 1] is Kind.MARK and self._kinds[at + 2] is Kind.NUMBER
        )

    def _glued(self, at: int) -> tuple[int, bool]:
        """Last lexeme of 1,200, and whether its comma is in doubt: in a bracket of two it parts them."""
        last = at
        while self._kinds[last + 1] is Kind.GLUE and self._kinds[last + 2] is Kind.NUMBER:
            if "." in self._quoted(last) or "." in self._quoted(last + 2):
                break  # 12.5,20.0 can only be two numbers
            last += 2
        two = last == at + 2 and self._kinds[at - 1] is Kind.OPEN and self._kinds[last + 1] is Kind.CLOSE
        before = self._kinds[at - 1] is Kind.GLUE  # the second half of what was parted
        return (at, False) if two or before else (last, last > at)

    def _decimal_comma(self, at: int, last: int, negative: bool) -> tuple[float, float] | None:
        """Value and half of 12,5 as 12.5; None where the comma may part thousands, or there are several."""
        if last != at + 2 or self._lexemes[at].half != 0.5 or self._lexemes[last].half != 0.5:
            return None
        whole, places = self._quoted(at), self._quoted(last)
        if len(places) > 2 and whole != "0":
            return None
        value = float(f"{whole}.{places}")
        return -value if negative else value, 0.5 * 10.0 ** -len(places)

    def _smaller_units(self, quantity: Quantity, last: int) -> int:
        """Take up the "20 seconds" of "1 minute and 20 seconds"; the last lexeme that belongs to the time."""
        scale = quantity.scale
        while scale >= 1:
            at = last + 1
            if self._kinds[at] is Kind.COMMA or (
                self._kinds[at] is Kind.AND and self._role is not Kind.BETWEEN
            ):
                at += 1
            if self._kinds[at] is not Kind.NUMBER:
                break
            if self._kinds[at + 1] is Kind.UNIT and self._lexemes[at + 1].value < scale:
                number, scale = self._lexemes[at], self._lexemes[at + 1].value
                quantity.value = math.copysign(
                    abs(quantity.value) + number.value * scale / quantity.scale, quantity.value
                )
                quantity.half = number.half * scale / quantity.scale
                last = at + 1
            else:
                if at == last + 1 and scale > 1:  # "1 minute 20"
                    self._spoil(quantity, at, Refusal.AMBIGUOUS, "the second number has no unit")
                    last = at
                break
        return last

    def _negative(self, at: int) -> bool:
        """Whether a dash in front of a number is its sign: not where it joins the number to one before it."""
        if at == 0 or self._kinds[at - 1] is not Kind.DASH:
            return False
        dash = self._lexemes[at - 1]
        if dash.end != self._lexemes[at].start or dash.end - dash.start > 1:
            return False
        hyphen = dash.start > 0 and self._text[dash.start - 1].isalnum()
        return not hyphen and self._kinds[at - 2] not in _ENDS

    # --------------------------------------------------------------------------------------------- low level

    def _quoted(self, at: int) -> str:
        return self._text[self._lexemes[at].start : self._lexemes[at].end]

    def _new(self, first: int, last: int, value: float, form: Form | None, half: float = 0.0) -> Quantity:
        start, end = self._lexemes[first].start, self._lexemes[last].end
        return Quantity(first=first, last=last, start=start, end=end, value=value, form=form, half=half)

    def _problem(self, reason: Refusal, detail: str, quantity: Quantity) -> Problem:
        return Problem(reason, detail, quantity.start, quantity.end)

    def _spoil(self, quantity: Quantity, last: int, reason: Refusal, why: str) -> None:
        end = self._lexemes[last].end
        quantity.problem = Problem(reason, f"{self._text[quantity.start : end]}: {why}", quantity.start, end)
