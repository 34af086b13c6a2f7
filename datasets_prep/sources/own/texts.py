"""Questions and answers of one's own data, and where objects and spans stand in them.

``<region>`` in a question points at an object of ``regions``, ``[SEG]`` in an answer is the mask of one of
``masks``, ``{span}`` in either is one of ``spans``; each kind is counted in reading order. What the texts do
not place at all is put at their end: regions at that of the first question, spans and then masks at that of
the last answer. An answer that is missing becomes the spans, or ``Sure, [SEG].``.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any, Final

from datasets_prep.draft import DraftSpan, DraftTurn, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.conversation import (
    answer_index,
    option_text,
    options_in,
    turns_of,
    without_markers,
)
from datasets_prep.sources.bases.fields import excerpt, number
from datasets_prep.sources.own.record import OwnRecord
from pipeline.records.sample import REGION, SEG, Role

SPAN: Final = "{span}"
"""The place of a span in a text."""


def turns_in(record: OwnRecord) -> list[DraftTurn]:
    """The turns as written. The answer of the last one may be missing; not in ``messages``."""
    if not record.has("messages"):
        with record.reading("question"):
            question = without_markers(record.text("question"))
        turns = [DraftTurn(Role.USER, question)]
        if record.has("answer") and not record.has("options"):
            with record.reading("answer"):
                turns.append(DraftTurn(Role.ASSISTANT, without_markers(record.text("answer"))))
        return turns
    both = [name for name in ("question", "answer", "options") if record.has(name)]
    with record.reading("messages"):
        if both:
            names = " and ".join(f"`{record.name(name)}`" for name in both)
            raise RejectError(
                Reason.MALFORMED, f"there are `messages` and {names}; one form of a question was expected"
            )
        return list(turns_of({"messages": record.get("messages")}))


def choice_in(record: OwnRecord) -> tuple[tuple[str, ...], int]:
    """Texts of the options without their letters, and the index of the right one.

    ``answer`` is a letter, the text of an option, or its index from 0. Raises RejectError if it is none of
    them, or if a letter or an index is the text of another option.
    """
    with record.reading("options"):
        options = record.get("options")
        if (
            not isinstance(options, list)
            or not 2 <= len(options) <= len(string.ascii_uppercase)
            or not all(isinstance(o, str) and o.strip() for o in options)
        ):
            raise RejectError(
                Reason.MALFORMED, f"`options` is {excerpt(options)}, two to 26 texts were expected"
            )
        if options_in(record.text("question")):
            raise RejectError(
                Reason.MALFORMED, "the question lists options itself; they belong in `options` alone"
            )
        choices = tuple(option_text(option) for option in options)
        answer = record.get("answer")
        if isinstance(answer, bool) or not isinstance(answer, int | str):
            raise RejectError(
                Reason.BAD_CHOICE,
                f"`{record.name('answer')}` is {excerpt(answer)}; the letter, the text or the index (from 0) "
                "of an option was expected",
            )
        index = _index(answer, choices)
        named = [n for n, choice in enumerate(choices) if choice.casefold() == str(answer).strip().casefold()]
        if named and index not in named:
            raise RejectError(
                Reason.BAD_CHOICE,
                f"`{record.name('answer')}` is {answer!r}, which is option {index} and the text of option "
                f"{named[0]}; write the whole option with its letter",
            )
        return choices, index


def _index(answer: int | str, choices: Sequence[str]) -> int:
    if isinstance(answer, str):
        return answer_index(answer, choices)
    if not 0 <= answer < len(choices):
        raise RejectError(Reason.BAD_CHOICE, f"answer {answer} is no index of {len(choices)} options")
    return answer


def spans_in(value: Any) -> tuple[DraftSpan, ...]:
    """Spans in seconds: pairs, {"start", "end"}, or a single one of them. Raises RejectError."""
    if isinstance(value, Mapping) or (
        isinstance(value, list) and value and not isinstance(value[0], list | Mapping)
    ):
        value = [value]
    if not isinstance(value, list) or not value:
        raise RejectError(
            Reason.MALFORMED, f"`spans` is {excerpt(value)}, a list of [start, end] in seconds was expected"
        )
    return tuple(_span(item) for item in value)


def _span(item: Any) -> DraftSpan:
    pair = [item.get("start"), item.get("end")] if isinstance(item, Mapping) else item
    if not isinstance(pair, list) or len(pair) != 2 or None in pair:
        raise RejectError(
            Reason.MALFORMED,
            f'`spans` has {excerpt(item)}; [start, end] or {{"start", "end"}} in seconds was expected',
        )
    return DraftSpan(start=number(pair[0], "spans"), end=number(pair[1], "spans"), unit=Unit.SECONDS)


def with_regions(turns: list[DraftTurn], count: int) -> list[DraftTurn]:
    """The turns with a ``<region>`` for each object. Raises RejectError if they hold another number."""
    written = _written(turns, Role.USER, REGION)
    if written == count:
        return turns
    if written:
        raise RejectError(
            Reason.REGION_COUNT, f"the questions hold {written} {REGION}, `regions` has {count} objects"
        )
    return [DraftTurn(Role.USER, _and(turns[0].text, [REGION] * count)), *turns[1:]]


def with_spans(turns: list[DraftTurn], count: int, first: int) -> list[DraftTurn]:
    """The turns with the mark of a time for each span, numbered from ``first``. Raises RejectError."""
    written = sum(turn.text.count(SPAN) for turn in turns)
    if written == count == 0:
        return turns
    if not written:
        turns = _appended(turns, [SPAN] * count)
    elif written != count:
        raise RejectError(Reason.PLACEHOLDERS, f"the texts hold {written} {SPAN}, `spans` has {count}")
    marks = iter(range(first, first + count))
    return [
        DraftTurn(turn.role, re.sub(re.escape(SPAN), lambda _: time_mark(next(marks)), turn.text))
        for turn in turns
    ]


def with_masks(turns: list[DraftTurn], count: int) -> list[DraftTurn]:
    """The turns with a ``[SEG]`` for each object. Raises RejectError if they hold another number."""
    written = _written(turns, Role.ASSISTANT, SEG)
    if written == count:
        return turns
    if written:
        raise RejectError(
            Reason.TARGET_COUNT, f"the answers hold {written} {SEG}, `masks` has {count} objects"
        )
    if len(turns) % 2:
        return [*turns, DraftTurn(Role.ASSISTANT, f"Sure, {', '.join([SEG] * count)}.")]
    return _appended(turns, [SEG] * count)


def _written(turns: Sequence[DraftTurn], role: Role, word: str) -> int:
    return sum(turn.text.count(word) for turn in turns if turn.role is role)


def _appended(turns: list[DraftTurn], words: list[str]) -> list[DraftTurn]:
    """The words at the end of the last answer, which is made if it is missing."""
    if len(turns) % 2:
        return [*turns, DraftTurn(Role.ASSISTANT, ", ".join(words))]
    return [*turns[:-1], DraftTurn(Role.ASSISTANT, _and(turns[-1].text, words))]


def _and(text: str, words: list[str]) -> str:
    return f"{text} {', '.join(words)}"
