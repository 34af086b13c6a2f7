"""Rules that the conversation formats share: who speaks, which markers go, where times stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets_prep.draft import DraftSpan, DraftTurn, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.fields import LONG_TEXT, check_text
from pipeline.records.sample import SEG, Role

# Patterns that text of blanks alone cannot slow down: nothing is tried again at each of them.
_MARKER = re.compile(r"(?<![ \t])[ \t]*+\n?[ \t]*+<(?:video|image)>[ \t]*+\n?[ \t]*+")
_ROLES = {"human": Role.USER, "user": Role.USER, "gpt": Role.ASSISTANT, "assistant": Role.ASSISTANT}
_FIRST = ("<video>\n", "<image>\n")
_ORDER = (Role.USER, Role.ASSISTANT)
_WRITTEN_TIME = re.compile(r"\{<TEMP-(\d{3})><TEMP-(\d{3})>\}|<TEMP-(\d{3})>")
_LIKE_OPTIONS = re.compile(r"(?:^|\n)[^\S\n]*+\(?A[.):]")
_OPTION = re.compile(r"\s*+\(?([A-Z])[.):]\)?\s*+(.*+)\s*+$")
_ANSWER = re.compile(r"\s*+\(?([A-Z])(?:[.):]|\s*+$)\)?(.*+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Turns whose times are marks, and what the marks stand for."""

    turns: tuple[DraftTurn, ...]
    times: tuple[DraftSpan, ...]


def turns_of(conversations: Any) -> tuple[DraftTurn, ...]:
    """Turns of a ``conversations`` list of {"from", "value"}, with the video markers taken out.

    The prompt codec puts the video in front of the first user turn, wherever the source wrote ``<video>`` or
    ``<image>`` (LLaVA-Video-178K's word for the video). Raises RejectError unless users and assistants take
    turns, the user first.
    """
    if not isinstance(conversations, Sequence) or isinstance(conversations, str) or not conversations:
        raise RejectError(Reason.MALFORMED, "`conversations` is no list of turns")
    turns: list[DraftTurn] = []
    for turn in conversations:
        text = turn.get("value") if isinstance(turn, dict) else None
        if not isinstance(text, str):
            raise RejectError(Reason.MALFORMED, f"turn {len(turns)} has no text in `value`")
        if len(text) > LONG_TEXT:  # before any pattern looks at it
            check_text(text, f"turn {len(turns)}")
        by = turn.get("from")
        role = _ROLES.get(by) if isinstance(by, str) else None
        if role is not _ORDER[len(turns) % 2]:
            raise RejectError(Reason.TURNS, f"turn {len(turns)} is by {by!r}")
        turns.append(DraftTurn(role, without_markers(text) if "<" in text else text.strip()))
    if len(turns) % 2:
        raise RejectError(Reason.TURNS, "the last turn has no answer")
    return tuple(turns)


def plain_texts(conversations: Any) -> list[str] | None:
    """The texts that ``turns_of`` would give, if they are surely words and nothing else, or None.

    Words hold no ``<`` or ``>``, so no placeholder and no time, and no ``[SEG]``.
    """
    if type(conversations) is not list or not conversations:
        return None
    try:
        names = [turn["from"] for turn in conversations]
        texts: list[str] = [turn["value"].strip() for turn in conversations]
        first = conversations[0]["value"]
    except (AttributeError, KeyError, TypeError):
        return None
    if names != ["human", "gpt"] * (len(names) // 2):
        return None
    if first.startswith(_FIRST):
        texts[0] = first[8:].strip()
    whole = "\n".join(texts)
    if "" in texts or len(whole) > LONG_TEXT or "<" in whole or ">" in whole or SEG in whole or "\0" in whole:
        return None
    return texts


def without_markers(text: str) -> str:
    """Text without ``<video>`` and ``<image>`` and the line break beside them."""
    # Most turns have no marker, and most of the rest begin with their only one.
    rest = text[8:] if text.startswith(_FIRST) else text
    if "<video>" not in rest and "<image>" not in rest:
        return rest.strip()

    def gap(found: re.Match[str]) -> str:
        inside = found.start() > 0 and found.end() < len(text)
        return ("\n" if "\n" in found.group() else " ") if inside else ""

    return _MARKER.sub(gap, text).strip()


def read_written_times(turns: Sequence[DraftTurn]) -> Times:
    """Spans ``{<TEMP-012><TEMP-047>}`` and lone tokens that a source has written already become marks."""
    for _, text in turns:
        if "<TEMP-" in text:
            break
    else:
        return Times(turns=tuple(turns), times=())
    times: list[DraftSpan] = []

    def mark(found: re.Match[str]) -> str:
        start, end, lone = found.groups()
        times.append(DraftSpan(start=int(lone or start), end=int(end) if end else None, unit=Unit.BINS))
        return time_mark(len(times) - 1)

    changed = tuple(DraftTurn(role=t.role, text=_WRITTEN_TIME.sub(mark, t.text)) for t in turns)
    return Times(turns=changed, times=tuple(times))


def options_in(question: str) -> tuple[str, ...]:
    """Texts of the options A, B, C ... that stand on lines of their own in a question; () if there are none.

    Both ``A. text`` and ``(A) text`` are options. They must run from A without a gap, and be at least two.
    """
    if not _LIKE_OPTIONS.search(question):
        return ()
    found: list[str] = []
    for line in question.splitlines():
        option = _OPTION.match(line)
        if option and option[1] == chr(ord("A") + len(found)):
            found.append(option[2].rstrip())
    return tuple(found) if len(found) >= 2 else ()


def option_text(option: str) -> str:
    """An option without its letter: ``(B) a red hat`` -> ``a red hat``."""
    found = _OPTION.match(option)
    return found[2].rstrip() if found else option.strip()


def answer_index(answer: str, choices: Sequence[str]) -> int:
    """Which option an answer names: by its letter, else by its whole text (letter case and end stop aside).

    Raises RejectError if it is none of them, or if letter and text name different options.
    """
    found = _ANSWER.match(answer)
    if found and (index := ord(found[1]) - ord("A")) < len(choices):
        said = _folded(found[2])
        if said and said != _folded(choices[index]) and said in map(_folded, choices):
            raise RejectError(
                Reason.BAD_CHOICE, f"answer {answer!r} names one option by letter and another by text"
            )
        return index
    texts = [_folded(c) for c in choices]
    if _folded(answer) in texts:
        return texts.index(_folded(answer))
    raise RejectError(Reason.BAD_CHOICE, f"answer {answer!r} is none of the {len(choices)} options")


def _folded(text: str) -> str:
    return text.strip().rstrip(".").strip().casefold()
