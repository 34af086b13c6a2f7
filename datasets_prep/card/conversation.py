"""A sample's text with its placeholders of objects and times marked, and its times on a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from pipeline.page.pictures import Colour
from pipeline.records.sample import REGION, SEG, Role, Sample, TimeSpan
from pipeline.times.temporal import LAST_BIN

MAX_TURNS = 6  # in full view; the rest can be unfolded
MAX_CHARS = 4000  # of one turn
MAX_LANES = 12
COLOURS: tuple[Colour, ...] = (  # green and blue are those of times
    (233, 30, 140),
    (0, 188, 212),
    (255, 145, 0),
    (124, 77, 255),
    (255, 214, 0),
    (0, 150, 136),
    (244, 67, 54),
    (141, 110, 99),
)
_MARKS = re.compile(
    rf"(\{{<TEMP-\d{{3}}><TEMP-\d{{3}}>\}}|<TEMP-\d{{3}}>|{re.escape(REGION)}|{re.escape(SEG)})"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a text. ``kind``: plain, object, answer (a span), asked (a span), instant."""

    text: str
    kind: str = "plain"
    number: int = 0  # of the object, from 1
    colour: str = ""  # CSS, of an object
    title: str = ""  # what it stands for


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownTurn:
    """One turn."""

    who: str
    pieces: tuple[Piece, ...]
    cut: int = 0  # characters that are not shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """A part of the video on a line of its own; ``left`` and ``width`` are percent of the video.

    ``kind``: clip, answer, asked or instant.
    """

    name: str
    kind: str
    left: float
    width: float
    text: str


def colour_of(number: int) -> Colour:
    """The colour of the object ``number``, from 0: regions first, then targets."""
    return COLOURS[number % len(COLOURS)]


def css(colour: Colour) -> str:
    """``rgb(1, 2, 3)``."""
    return f"rgb{colour}"


def conversation(sample: Sample) -> list[ShownTurn]:
    """All turns with their marks. The k-th placeholder of a kind stands for the k-th object or time."""
    regions, targets, instants = count(), count(), iter(sample.instants)
    spans = {Role.USER: iter(sample.question_spans), Role.ASSISTANT: iter(sample.spans)}
    out = []
    for turn in sample.turns:
        user = turn.role is Role.USER
        pieces = []
        for text in filter(None, _MARKS.split(turn.text)):
            if text == REGION and user:
                pieces.append(_object(text, next(regions), 0, "what the user points at"))
            elif text == SEG and not user:
                pieces.append(_object(text, next(targets), len(sample.regions), "what the answer segments"))
            elif text.startswith("{<TEMP-") and _MARKS.fullmatch(text):
                kind = "asked" if user else "answer"
                pieces.append(Piece(text=text, kind=kind, title=_seconds(next(spans[turn.role], None))))
            elif text.startswith("<TEMP-") and _MARKS.fullmatch(text):
                pieces.append(Piece(text=text, kind="instant", title=_seconds(next(instants, None))))
            else:
                pieces.append(Piece(text=text))
        out.append(_cut("question" if user else "answer", pieces))
    return out


def lanes(sample: Sample) -> list[Lane]:
    """The sample's times, in seconds and bins. Empty for a video of unknown length."""
    duration_s = sample.video.duration_s
    if duration_s <= 0:
        return []
    named: list[tuple[str, str, TimeSpan]] = [("clip", "clip", sample.clip)] if sample.clip else []
    for kind, name, times in (
        ("asked", "in question", sample.question_spans),
        ("answer", "in answer", sample.spans),
        ("instant", "instant", sample.instants),
    ):
        many = len(times) > 1
        named += [(kind, f"{name} {i}" if many else name, time) for i, time in enumerate(times, 1)]
    return [
        Lane(
            name=name,
            kind=kind,
            left=100 * min(max(time.start_s / duration_s, 0), 1),
            width=100 * min(max((time.end_s - time.start_s) / duration_s, 0), 1),
            text=f"{_seconds(time)}, {_bins(time)}"
            if kind != "clip"
            else f"{_seconds(time)} = bins 0–{LAST_BIN}",
        )
        for kind, name, time in named
    ]


def _object(text: str, number: int, before: int, meaning: str) -> Piece:
    return Piece(
        text=text,
        kind="object",
        number=number + 1,
        colour=css(colour_of(before + number)),
        title=f"{meaning}, {number + 1}",
    )


def _cut(who: str, pieces: Sequence[Piece]) -> ShownTurn:
    """A turn of at most MAX_CHARS characters; marks are never cut."""
    kept: list[Piece] = []
    left, cut = MAX_CHARS, 0
    for piece in pieces:
        if left >= len(piece.text):
            kept.append(piece)
        elif left > 0 and piece.kind == "plain":
            kept.append(Piece(text=piece.text[:left]))
            cut += len(piece.text) - left
        else:
            cut += len(piece.text)
        left -= len(piece.text)
    return ShownTurn(who=who, pieces=tuple(kept), cut=cut)


def _seconds(time: TimeSpan | None) -> str:
    if time is None:
        return ""
    if time.start_s == time.end_s:
        return f"{time.start_s:.1f} s"
    return f"{time.start_s:.1f}–{time.end_s:.1f} s"


def _bins(time: TimeSpan) -> str:
    if time.start_s == time.end_s:
        return f"bin {time.start_bin}"
    return f"bins {time.start_bin}–{time.end_bin}"
