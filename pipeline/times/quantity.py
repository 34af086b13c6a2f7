"""A number or token of a text that may be a time, and why it may not be read as one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.times.lexer import Kind
from pipeline.times.text import Form


class Refusal(StrEnum):
    """Why a text, or one time in it, was not read."""

    NO_TIME = "no time in the text"
    ONE_TIME = "one time only"
    NO_PAIR = "single times that form no span"
    REVERSED = "the span ends before it starts"
    OUTSIDE = "outside the video"
    NOT_FINITE = "not a finite number"
    NO_UNIT = "ambiguous: bare numbers, and no default unit given"
    AMBIGUOUS = "ambiguous: can be read in more than one way"
    NO_FRAMES = "frame numbers but no frames given"
    NOT_WHOLE = "a frame number that is not whole"
    BAD_CLOCK = "not a clock time"
    BAD_TOKEN = "not a time token of this model"
    MIXED = "start and end in forms that do not go together"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason with details, and the piece of the text that it is about, from ``start`` to ``end``."""

    reason: Refusal
    detail: str
    start: int
    end: int


@dataclass(kw_only=True, slots=True, eq=False)
class Quantity:
    """What may be a time. ``value`` and ``half`` are in ``scale`` seconds, or in what ``form`` counts."""

    first: int  # its lexemes, both included
    last: int
    start: int  # its place in the text
    end: int
    value: float
    half: float = 0.0  # half of the last place that was written
    form: Form | None = None  # None: a bare number
    scale: float = 1.0  # of Form.SECONDS and Form.CLOCK
    role: Kind | None = None  # START, FROM, END, UNTIL, AT, BETWEEN or LASTING: the word that leads to it
    counted: bool = False  # "12 frames": a number of them, unless it is half of a span
    group: int = -1  # the bracket that it is in
    problem: Problem | None = None
    edge: float | None = None  # 0: "the beginning", 1: "the end" of the video; it has no value and no form
    comma: tuple[float, float] | None = None  # value and half if a comma in doubt is a decimal comma

    @property
    def bare(self) -> bool:
        """A number without a unit."""
        return self.form is None and self.edge is None
