"""A model's text -> spans and instants in seconds, or the reason why not. The one parser of times.

It guesses nothing. A number without a unit is read only in the unit that the caller states; a time outside
the video is refused, or clamped with a flag where the caller says so; one bad span makes the whole text a
``Failure``, which still carries what could be read. Accepted forms: docs/temporal.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from pipeline.thoughts import answer_part
from pipeline.times.described import described
from pipeline.times.frame_times import FrameTimes
from pipeline.times.lexer import Kind, Lexeme, lex
from pipeline.times.pairs import Pair, pairs, whole
from pipeline.times.plain_pair import plain_pair, plain_span
from pipeline.times.quantities import quantities
from pipeline.times.quantity import Problem, Quantity, Refusal
from pipeline.times.spans import ParsedSpan, Ruler
from pipeline.times.temporal import NOISE_S, Outside
from pipeline.times.text import Form

__all__ = ["BARE_FORMS", "Failure", "Form", "ParsedSpan", "Refusal", "Times", "parse"]

BARE_FORMS = (Form.SECONDS, Form.FRACTIONS, Form.PERCENTS, Form.FRAMES)
_SAID = 120  # characters of a detail, which quotes the text
_LENGTH = ("later", "long", "earlier", "afterwards")
_LED = {Kind.START, Kind.END, Kind.AT}
_LED_WITH_UNIT = _LED | {Kind.FROM, Kind.UNTIL}


class Times(NamedTuple):
    """All times of a text that could be read, in reading order."""

    spans: tuple[ParsedSpan, ...]
    instants: tuple[ParsedSpan, ...] = ()  # only where they were asked for
    unread: tuple[str, ...] = ()  # pieces that look like times but were not read as such


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a text could not be read; ``rest`` is what could be read all the same."""

    reason: Refusal
    detail: str = ""
    place: tuple[int, int] | None = None  # of the piece at fault
    rest: tuple[ParsedSpan, ...] = ()

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


def parse(
    text: str,
    *,
    duration_s: float,
    frames: FrameTimes | None = None,
    bare: Form | None = None,
    outside: Outside = Outside.REFUSE,
    instants: bool = False,
) -> Times | Failure:
    """Read the times of a text about a video, or a clip, of ``duration_s`` seconds.

    ``frames``: its frames, where answers in frame numbers are to be read (``FrameTimes.even`` at a constant
    rate). ``bare``: what a number without a unit counts, one of BARE_FORMS; None refuses such spans.
    ``outside``: what to do with a time outside [0, duration]; a span with no part inside is refused either
    way. ``instants``: single times are an answer too; without it a text needs at least one span.

    Of a text with ``<answer>`` only the last answer is read, of one with ``<think>`` what comes after it.
    Raises ValueError only for invalid arguments, never because of the text.
    """
    if bare is not None and bare not in BARE_FORMS:
        raise ValueError(f"bare numbers cannot be {bare}; choose one of {', '.join(BARE_FORMS)}")
    if not math.isfinite(duration_s) or duration_s <= 0:
        raise ValueError(f"a video cannot last {duration_s} s")
    if frames is not None and abs(frames.duration_s - duration_s) > NOISE_S:
        raise ValueError(f"frames of {frames.duration_s} s for a video of {duration_s} s")
    within = plain_span(text, duration_s)
    if within is not None:
        return Times(spans=(within,))
    ruler = Ruler(text=text, duration_s=duration_s, frames=frames, bare=bare, outside=outside)
    plain = plain_pair(text)
    if plain is None:
        return _Reading(text, ruler).result(instants)
    span = ruler.span(plain)
    return _failure(span, ()) if isinstance(span, Problem) else Times(spans=(span,))


class _Reading:
    """The quantities and pairs of one text, before spans and instants are chosen."""

    def __init__(self, text: str, ruler: Ruler) -> None:
        self._text, self._ruler = text, ruler
        part = answer_part(text)  # the reasoning before the answer may name other times
        self._lexemes: Sequence[Lexeme] = lex(text, part.start, part.stop)
        self._found, every = self._read()
        self._whole = len(self._found) == 1 and whole(self._lexemes, self._found)
        taken = {index for pair in every for index in range(pair.first, pair.last + 1)}
        self._alone = [q for index, q in enumerate(self._found) if index not in taken and q.edge is None]
        self._lengths = [pair for pair in every if self._is_length(pair)]
        spoken = [pair for pair in every if not self._is_length(pair)]
        self._shown = described(text, self._lexemes, spoken, self._ruler)
        self._spoken = [pair for pair in spoken if pair not in self._shown]

    def _read(self) -> tuple[list[Quantity], list[Pair]]:
        """Quantities and pairs. "The end" and its like are left out where they are no end of a pair."""
        for edges in (True, False):
            found = quantities(self._text, self._lexemes, edges=edges)
            every = pairs(self._text, self._lexemes, found)
            if any(q.edge is not None for pair in every for q in (pair.a, pair.b)) or all(
                q.edge is None for q in found
            ):
                break
        return found, every

    def result(self, instants: bool) -> Times | Failure:
        """Spans and, where they are asked for, instants; or the first problem among them."""
        single = [q for q in self._alone if self._is_instant(q)]
        # If a text uses units, only pairs with a unit count: "3 - 2" in it is a score.
        united = [pair for pair in self._spoken if pair.form is not None]
        if united or any(not q.bare for q in single):
            single = [q for q in single if not q.bare]
        chosen = united or ([] if instants and single and not single[0].bare else self._spoken)
        if not chosen and not (instants and single):
            return self._nothing(single)
        spans = [self._ruler.span(pair) for pair in chosen]
        moments = [self._ruler.instant(q) for q in single] if instants else []
        parsed = tuple(span for span in spans if isinstance(span, ParsedSpan))
        problems = [p for p in (*spans, *moments) if isinstance(p, Problem)]
        if problems:
            return _failure(min(problems, key=lambda p: p.start), parsed)
        return Times(
            spans=parsed,
            instants=tuple(moment for moment in moments if isinstance(moment, ParsedSpan)),
            unread=self._unread(chosen, single if instants else ()),
        )

    def _nothing(self, single: Sequence[Quantity]) -> Failure:
        """The failure for a text without a span, with what it has instead."""
        moments = [self._ruler.instant(q) for q in single]
        parsed = tuple(moment for moment in moments if isinstance(moment, ParsedSpan))
        bad = next((q.problem for q in self._alone if q.problem and (q.form or self._whole)), None)
        if bad:
            return _failure(bad, parsed)
        if single:
            excerpt = ", ".join(self._text[q.start : q.end] for q in single[:5])
            return Failure(
                reason=Refusal.ONE_TIME if len(single) == 1 else Refusal.NO_PAIR,
                detail=_short(excerpt),
                place=(single[0].start, single[0].end),
                rest=parsed,
            )
        for a, b in pairwise(self._alone):
            if a.bare and b.bare and a.group == b.group >= 0:
                place = (a.start, b.end)
                return Failure(
                    reason=Refusal.AMBIGUOUS, detail="more than two numbers in one bracket", place=place
                )
        others = ", ".join(self._unread((), ()))  # how long something lasts, or a count
        return Failure(
            reason=Refusal.NO_TIME, detail=_short(f"not told as a time: {others}") if others else ""
        )

    def _unread(self, chosen: Iterable[Pair], single: Iterable[Quantity]) -> tuple[str, ...]:
        kept = {id(item) for item in (*chosen, *single)}
        places = [
            pair.place for pair in (*self._spoken, *self._lengths, *self._shown) if id(pair) not in kept
        ]
        places += [(q.start, q.end) for q in self._alone if not q.bare and id(q) not in kept]
        return tuple(self._text[start:end] for start, end in sorted(places))

    def _is_instant(self, quantity: Quantity) -> bool:
        """Whether a single quantity says when: tokens, clock times and "frame 12" do, "8 seconds" may not."""
        if quantity.bare and quantity.role is None and not self._whole:
            return False  # most numbers of a text
        if quantity.form is Form.TOKENS or _has_colon(quantity):
            return True
        if quantity.role is Kind.LASTING or quantity.counted:
            return False
        if quantity.form is Form.FRAMES or self._whole:
            return True
        kind, word = self._behind(quantity)
        if quantity.bare:
            return quantity.role in _LED and kind is not Kind.WORD
        return quantity.role in _LED_WITH_UNIT or word in ("into", "mark")

    def _is_length(self, pair: Pair) -> bool:
        """Whether a pair is a length and not a time: "for 5 to 10 seconds", "2-3 seconds later"."""
        if pair.form is Form.TOKENS or _has_colon(pair.a):
            return False
        return pair.a.role is Kind.LASTING or self._behind(pair.b)[1] in _LENGTH

    def _behind(self, quantity: Quantity) -> tuple[Kind | None, str]:
        if quantity.last + 1 >= len(self._lexemes):
            return None, ""
        lexeme = self._lexemes[quantity.last + 1]
        return lexeme.kind, self._text[lexeme.start : min(lexeme.end, lexeme.start + 20)].lower()


def _has_colon(quantity: Quantity) -> bool:
    return quantity.form is Form.CLOCK and quantity.scale == 1


def _failure(problem: Problem, rest: tuple[ParsedSpan, ...]) -> Failure:
    return Failure(
        reason=problem.reason, detail=_short(problem.detail), place=(problem.start, problem.end), rest=rest
    )


def _short(text: str) -> str:
    flat = " ".join(text[: 2 * _SAID].split())
    return flat if len(flat) <= _SAID else flat[: _SAID - 1] + "…"
