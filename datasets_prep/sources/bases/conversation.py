"""Rules that the conversation formats share: roles of turns, video markers, times in the text, options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets_prep.draft import DraftSpan, DraftTurn, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.fields import LONG_TEXT, check_text, excerpt
from pipeline.records.sample import SEG, Role

# Possessive quantifiers: a long run of blanks causes no backtracking.
_MARKER = re.compile(r"(?<![ \t])[ \t]*+\n?[ \t]*+<(?:video|image)>[ \t]*+\n?[ \t]*+")
_ROLES = {"human": Role.USER, "user": Role.USER, "gpt": Role.ASSISTANT, "assistant": Role.ASSISTANT}
_TURN_LISTS = ("conversations", "messages")
_FORMS = (("from", "value"), ("role", "content"))
_FIRST = ("<video>\n", "<image>\n")
_ORDER = (Role.USER, Role.ASSISTANT)
_WRITTEN_TIME = re.compile(r"\{<TEMP-(\d{3})><TEMP-(\d{3})>\}|<TEMP-(\d{3})>")
_LIKE_OPTIONS = re.compile(r"(?:^|\n)[^\S\n]*+\(?A[.):]")
_ASKS_TO_CHOOSE = re.compile(
    r"\b(?:options?|letters?|choices?|choose|select|pick|which of (?:the|these)|multiple[- ]choice)\b",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\s*+\(?([A-Z])[.):]\)?\s*+(.*+)\s*+$")
_ANSWER = re.compile(r"\s*+\(?([A-Z])(?:[.):]|\s*+$)\)?(.*+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedTurns:
    """Turns in which each time is a mark, and the times that the marks stand for."""

    turns: tuple[DraftTurn, ...]
    times: tuple[DraftSpan, ...]


def turns_of(raw: Mapping[str, Any]) -> tuple[DraftTurn, ...]:
    """Turns of a row's ``conversations`` or ``messages``, without the video markers.

    A turn is {"from", "value"} or {"role", "content"}; its text may be a list of parts, {"type": "text",
    "text"} and the place of the video. The prompt codec puts the video in front of the first user turn,
    wherever the source has ``<video>`` or ``<image>`` (LLaVA-Video-178K's marker of the video). Raises
    RejectError unless all turns have one form, and user and assistant take turns, the user first.
    """
    name, conversations = _turn_list(raw)
    turns: list[DraftTurn] = []
    form: tuple[str, str] | None = None
    for turn in conversations:
        number = len(turns)
        own_form = _form_of(turn, name, number)
        form = form or own_form
        if own_form != form:
            raise RejectError(
                Reason.MALFORMED,
                f"turn {number} of `{name}` has {_form_text(own_form)}, the first {_form_text(form)}",
            )
        text = _text_of(turn[form[1]], f"turn {number} of `{name}`: `{form[1]}`")
        if len(text) > LONG_TEXT:  # before any regular expression runs on it
            check_text(text, f"turn {number}")
        by = turn[form[0]]
        expected = _ORDER[number % 2]
        if (_ROLES.get(by) if isinstance(by, str) else None) is not expected:
            raise RejectError(
                Reason.TURNS, f"turn {number} is by {excerpt(by)}, {_names_of(expected)} was expected"
            )
        turns.append(DraftTurn(expected, without_markers(text) if "<" in text else text.strip()))
    if len(turns) % 2:
        raise RejectError(Reason.TURNS, "the last turn has no answer")
    return tuple(turns)


def video_of(raw: Mapping[str, Any]) -> Any:
    """A row's video: its ``video``, or the only one in ``videos`` or in the parts of its turns.

    Raises RejectError if there are several.
    """
    if raw.get("video") is not None:
        return raw["video"]
    listed = raw.get("videos")
    if listed is None:
        turns: list[Any] = next((raw[n] for n in _TURN_LISTS if isinstance(raw.get(n), list)), [])
        contents = [t.get("content") for t in turns if isinstance(t, Mapping)]
        parts = [p for c in contents if isinstance(c, list) for p in c if isinstance(p, Mapping)]
        listed = [p["video"] for p in parts if p.get("type") == "video" and p.get("video") is not None]
        if not listed:
            return None
    if isinstance(listed, list):
        if len(listed) > 1:
            raise RejectError(Reason.MALFORMED, f"it names {len(listed)} videos, one was expected")
        return listed[0] if listed else None
    return listed


def _turn_list(raw: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
    there = [name for name in _TURN_LISTS if raw.get(name) is not None]
    if not there:
        raise RejectError(Reason.MALFORMED, "there is neither `conversations` nor `messages`")
    if len(there) > 1:
        raise RejectError(Reason.MALFORMED, "there are `conversations` and `messages`, one was expected")
    (name,) = there
    turns = raw[name]
    if isinstance(turns, list) and len(turns) == 1 and isinstance(turns[0], list):
        (turns,) = turns
    if not isinstance(turns, list) or not turns:
        raise RejectError(Reason.MALFORMED, f"`{name}` is {excerpt(turns)}, a list of turns was expected")
    return name, turns


def _form_of(turn: Any, name: str, number: int) -> tuple[str, str]:
    """The names of the fields with a turn's speaker and text."""
    if isinstance(turn, Mapping):
        forms = [form for form in _FORMS if all(turn.get(field) is not None for field in form)]
        if len(forms) == 1:
            return forms[0]
        fields = [f"`{name}`" + (": null" if value is None else "") for name, value in turn.items()]
        found = "has all of" if forms else f"has {', '.join(fields[:9]) or 'nothing'}, not"
    else:
        found = f"is {excerpt(turn)}, without"
    raise RejectError(
        Reason.MALFORMED, f"turn {number} of `{name}` {found} {' or '.join(map(_form_text, _FORMS))}"
    )


def _form_text(form: tuple[str, str]) -> str:
    return f"`{form[0]}` and `{form[1]}`"


def _names_of(role: Role) -> str:
    return " or ".join(name for name, known in _ROLES.items() if known is role)


def _text_of(content: Any, where: str) -> str:
    """A text, or the texts of its parts, one per line, without the place of the video."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RejectError(Reason.MALFORMED, f"{where} is {excerpt(content)}, a text was expected")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind not in ("video", "image"):
            raise RejectError(
                Reason.MALFORMED,
                f"{where} has the part {excerpt(part)}; parts of text and video were expected",
            )
    return "\n".join(texts)


def plain_texts(conversations: Any) -> list[str] | None:
    """The texts that ``turns_of`` would give if they are surely plain text, else None.

    Plain text has no ``<`` or ``>``, so no placeholder and no time, and no ``[SEG]``.
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
    """Text without ``<video>`` and ``<image>`` and the adjacent line break."""
    # Most turns have no marker, and most of the others begin with their only one.
    rest = text[8:] if text.startswith(_FIRST) else text
    if "<video>" not in rest and "<image>" not in rest:
        return rest.strip()

    def gap(found: re.Match[str]) -> str:
        inside = found.start() > 0 and found.end() < len(text)
        return ("\n" if "\n" in found.group() else " ") if inside else ""

    return _MARKER.sub(gap, text).strip()


def read_written_times(turns: Sequence[DraftTurn]) -> MarkedTurns:
    """Turn spans ``{<TEMP-012><TEMP-047>}`` and single tokens in a source's text into marks."""
    for _, text in turns:
        if "<TEMP-" in text:
            break
    else:
        return MarkedTurns(turns=tuple(turns), times=())
    times: list[DraftSpan] = []

    def mark(found: re.Match[str]) -> str:
        start, end, lone = found.groups()
        times.append(DraftSpan(start=int(lone or start), end=int(end) if end else None, unit=Unit.BINS))
        return time_mark(len(times) - 1)

    changed = tuple(DraftTurn(role=t.role, text=_WRITTEN_TIME.sub(mark, t.text)) for t in turns)
    return MarkedTurns(turns=changed, times=tuple(times))


def options_in(question: str) -> tuple[str, ...]:
    """Texts of the options A, B, C ... on lines of their own in a question; () if there are none.

    Both ``A. text`` and ``(A) text`` are options. There must be at least two, from A on without a gap.
    """
    if not _LIKE_OPTIONS.search(question):
        return ()
    found: list[str] = []
    for line in question.splitlines():
        option = _OPTION.match(line)
        if option and option[1] == chr(ord("A") + len(found)):
            found.append(option[2].rstrip())
    return tuple(found) if len(found) >= 2 else ()


def choice_of(question: str, answer: str) -> tuple[tuple[str, ...], int]:
    """Options of a multiple choice and the index of the right one; ((), -1) for an open question.

    Steps or persons that a question lists as A, B, C ... are not options. The answer shows that: it names
    none of them, or several, and is longer than each of them, and the question does not ask to choose. Raises
    RejectError for a multiple choice whose answer is none of the options.
    """
    options = options_in(question)
    if not options:
        return (), -1
    if not _ASKS_TO_CHOOSE.search(question) and _is_open_answer(answer, options):
        return (), -1
    return options, answer_index(answer, options)


def _is_open_answer(answer: str, options: Sequence[str]) -> bool:
    """Whether an answer is more than the choice of an option."""
    if len(options_in(answer)) > 1:
        return True
    texts = [_folded(option) for option in options]
    found = _ANSWER.match(answer)
    folded = _folded(found[2] if found else answer)
    return folded not in texts and len(folded.split()) > max(len(text.split()) for text in texts)


def option_text(option: str) -> str:
    """An option without its letter: ``(B) a red hat`` -> ``a red hat``."""
    found = _OPTION.match(option)
    return found[2].rstrip() if found else option.strip()


def answer_index(answer: str, choices: Sequence[str]) -> int:
    """The index of the option that an answer names by its letter, else by its whole text.

    Letter case and a full stop at the end do not matter. Raises RejectError if the answer is none of the
    options, or if letter and text name different options.
    """
    found = _ANSWER.match(answer)
    if found and (index := ord(found[1]) - ord("A")) < len(choices):
        text = _folded(found[2])
        if text and text != _folded(choices[index]) and text in map(_folded, choices):
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
