"""Which option a text chooses: this project's rule.

A text chooses an option only if it does so unambiguously. The rules are tried in order; the first that
applies decides, for an option or against all:

1. ``BOXED``: a letter or an option's text in a LaTeX box;
2. ``STATED``: "the answer is B", "I would choose (b)", "B is correct", "option C is the best";
3. ``LED``: the text begins with a letter that a mark tells from a word: "(B)", "B. blue", "b", "B because";
4. ``WHOLE``: the text, or its first clause, is an option's text;
5. ``LETTERED``: a letter with its own option's text behind it, anywhere: "the rate is C. slow";
6. ``WORDS``: the first sentence has the words of exactly one option, and no negation or doubt.

Thoughts, markdown and LaTeX are removed first (``choice_text``). The published rules are in
``choice_published``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from evaluation.metrics.choice_letters import Mention, denied, mention
from evaluation.metrics.choice_stated import statements
from evaluation.metrics.choice_text import Plain, find_options, plain, sentences, words


class Rule(StrEnum):
    """Which rule read an answer."""

    BOXED = "boxed"
    STATED = "stated"
    LED = "led by a letter"
    WHOLE = "an option's text"
    LETTERED = "letter and text"
    WORDS = "an option's words"


class Refusal(StrEnum):
    """Why none was read."""

    EMPTY = "an empty answer"
    NONE = "no option in the answer"
    SEVERAL = "several options in the answer"
    BEYOND = "a letter beyond the options"
    CONTRADICTION = "letter and text of different options"
    THOUGHT = "a thought without an answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The option that a text chooses: ``index``, read by ``rule``; or None and the ``refusal``."""

    index: int | None = None
    rule: Rule | None = None
    refusal: Refusal | None = None


class _Answer(NamedTuple):
    """The input of a rule: the plain text, and the text and the words of each option."""

    plain: Plain
    text: str
    texts: Sequence[str]
    options: Sequence[Sequence[str]]


_LETTERED: Final = re.compile(r"[ \n]*(?:\(([A-Z])\)|([A-Z])[.)]) (.+?)\.?[ \n]*")  # "(B) blue", "B. blue."
_LETTER_ALONE: Final = re.compile(r"[ \n]*\(?([A-Za-z])[.)]?[ \n]*")  # "B", "b", "(B)", "B."
_LED_BY: Final = tuple(Chosen(index=index, rule=Rule.LED) for index in range(26))
_LED_BEYOND: Final = Chosen(refusal=Refusal.BEYOND)
_Verdict = int | Refusal | None


@lru_cache(maxsize=1 << 16)  # many questions of a benchmark share their options
def _option(choice: str) -> tuple[str, tuple[str, ...]]:
    text = plain(choice).text
    return text, tuple(words(text))


# An option in which no rule finds a letter, a statement or a denial: its words have several signs, except "a"
# and a first "A", and none of them can praise an answer or begin a denial.
_QUIET: Final = re.compile(
    r"(?:A )?(?:a |(?:[A-Za-z0-9]{2,}|[0-9])(?: |, |/|-))*(?:[A-Za-z0-9]{2,}|[0-9])\.?"
)
_LOUD: Final = re.compile(
    r"^(?:is|was|cannot|can|could|seems|does|would)\b|"
    r"answer|option|choice|solution|response|selection|conclusion|prediction|guess|letter|"
    r"^(?=.*(?:is|was|be|seems|appears) ).*(?:correct|right|best|accurate|appropriate|true|suitable)",
    re.IGNORECASE,
)
_LONGEST_QUIET: Final = 100


@lru_cache(maxsize=1 << 16)
def _is_quiet(choice: str) -> bool:
    return len(choice) <= _LONGEST_QUIET and bool(_QUIET.fullmatch(choice)) and not _LOUD.search(choice)


def strict(text: str, choices: Sequence[str]) -> Chosen:
    """The option that a text names unambiguously, and the rule that read it; or why there is none.

    A letter alone, or in front of its own option as it is written, is what most models answer, and is read at
    once; anything else by ``read_by_rules``, which gives the same for both.
    """
    alone = _LETTER_ALONE.fullmatch(text)
    if alone is not None:
        index = ord(alone[1].upper()) - ord("A")
        return _LED_BY[index] if index < len(choices) else _LED_BEYOND
    led = _LETTERED.fullmatch(text)
    if led is not None:
        index = ord(led[1] or led[2]) - ord("A")
        if index < len(choices) and choices[index] in (led[3], f"{led[3]}.") and _is_quiet(choices[index]):
            return _LED_BY[index]
    return read_by_rules(text, choices)


def read_by_rules(text: str, choices: Sequence[str]) -> Chosen:
    """The same for any text.

    Refused are, among others, two letters ("A or B", "A, B"), a letter beyond the options, a letter followed
    by another option's text, and a thought that is never closed, unless its last line states the answer.
    """
    answer_text = plain(text)
    known = [_option(choice) for choice in choices]
    answer = _Answer(answer_text, answer_text.text, [text for text, _ in known], [own for _, own in known])
    if not answer.text:
        return Chosen(refusal=Refusal.THOUGHT if answer_text.unfinished else Refusal.EMPTY)
    for rule, read in _RULES.items():
        if answer_text.unfinished and rule not in (Rule.BOXED, Rule.STATED):
            return Chosen(refusal=Refusal.THOUGHT)
        verdict = read(answer)
        if isinstance(verdict, Refusal):
            return Chosen(refusal=verdict)
        if verdict is not None:
            return Chosen(index=verdict, rule=rule)
    return Chosen(refusal=Refusal.NONE)


def _boxed(answer: _Answer) -> _Verdict:
    r"""``\boxed{B}``, ``\boxed{\text{B. blue}}``, ``\boxed{blue}``; boxes of two options are several."""
    if not answer.plain.boxed:
        return None
    verdicts = {_box(content, answer) for content in answer.plain.boxed} - {None}
    return verdicts.pop() if len(verdicts) == 1 else Refusal.SEVERAL if verdicts else None


def _box(content: str, answer: _Answer) -> _Verdict:
    letter = mention(content, 0, answer.options, announced=True)
    return _of(letter, answer) if letter else _of_text(words(content), answer)


def _stated(answer: _Answer) -> _Verdict:
    """A stated answer. It overrides letters elsewhere; a conclusion also overrides statements before it.

    One that differs from the letter with which the text begins leaves it open, unless it is the conclusion
    and that letter is in a sentence or a list.
    """
    found = statements(answer.text, answer.options)
    if not found:
        return None
    verdicts = {_of(one.mention, answer) if one.mention else one.text for one in found}
    last = found[-1]
    verdict = _of(last.mention, answer) if last.mention else last.text
    led = _led(answer)
    differs = isinstance(led, int) and led != verdict
    if last.concludes:
        return Refusal.SEVERAL if differs and _alone(answer) else verdict
    return Refusal.SEVERAL if differs or len(verdicts) > 1 else verdict


def _led(answer: _Answer) -> _Verdict:
    """A letter at the start. One followed by a line that begins with another is the first of a list."""
    both = _BOTH.match(answer.text)
    letter = mention(answer.text, both.end() if both else 0, answer.options)
    if letter is None or (both and not letter.others) or _denied_behind(answer.text, letter):
        return None
    lines = [line.strip() for line in answer.text.split("\n") if line.strip()]
    following = mention(lines[1], 0, answer.options) if len(lines) > 1 else None
    if following is not None and following.marked and following.option != letter.option:
        return Refusal.SEVERAL
    return Refusal.SEVERAL if _begins_list(answer, letter) else _of(letter, answer)


def _begins_list(answer: _Answer, letter: Mention) -> bool:
    """Whether the next option follows a letter and its text directly: "(A) red (B) blue"."""
    if letter.text != letter.option:
        return False
    place = _CAPITAL.search(answer.text, letter.end)
    other = mention(answer.text, place.start(), answer.options) if place else None
    if place is None or other is None or not other.marked or other.text != other.option != letter.option:
        return False
    return words(answer.text[letter.end : place.start()]) == list(answer.options[letter.option])


def _alone(answer: _Answer) -> bool:
    """Whether the first line is nothing but a letter, or a letter with an option's text."""
    letter = mention(answer.text, 0, answer.options)
    rest = words(answer.text.split("\n", maxsplit=1)[0][letter.end :]) if letter else None
    return rest is not None and (not rest or rest in [list(one) for one in answer.options])


def _whole(answer: _Answer) -> _Verdict:
    """An option's text as the whole answer, or as its first clause if its sentence names no other option."""
    whole = _of_text(words(answer.text), answer)
    if answer.text.endswith("?") and not any(answer.text.lower() == one.lower() for one in answer.texts):
        return None  # "Is it blue?"
    if whole is not None:
        return whole
    clause = _of_text(words(_CLAUSE_END.split(answer.text, maxsplit=1)[0]), answer)
    if clause is None:
        return None
    others = {one.option for one in find_options(words(_claim(sentences(answer.text)[0])), answer.options)}
    return clause if others <= {clause} else Refusal.SEVERAL


def _lettered(answer: _Answer) -> _Verdict:
    """A letter with its own option's text behind it, where that is so of one option alone."""
    found = set()
    for place in _CAPITAL.finditer(answer.text):
        letter = mention(answer.text, place.start(), answer.options)
        if letter and letter.marked and letter.text == letter.option < len(answer.options):
            begin = max(answer.text.rfind(sign, 0, place.start()) for sign in ".,;\n")
            if not denied(answer.text[begin + 1 : place.start()]):
                found.add(_of(letter, answer))
    return found.pop() if len(found) == 1 else None


def _words(answer: _Answer) -> _Verdict:
    """The first sentence holds the words of one option, next to each other, and neither denies nor doubts."""
    for sentence in sentences(answer.text):
        claim = _claim(sentence)
        claimed = words(claim)
        found = find_options(claimed[:_MOST_WORDS], answer.options)
        named = {one.option for one in found}
        if not named and len(claimed) <= _PREAMBLE:
            continue  # "Sure!"
        if len(named) > 1:
            return Refusal.SEVERAL
        if not named or len(claimed) > _MOST_WORDS or sentence.endswith("?"):
            return None
        own = {at for one in found for at in range(one.start, one.stop)}
        if any(word in _DENYING or word in _DOUBTING for at, word in enumerate(claimed) if at not in own):
            return None
        option = named.pop()
        return None if set(answer.options[option]) <= _NO_CONTENT else option
    return None


_RULES: Final[dict[Rule, Callable[[_Answer], _Verdict]]] = {
    Rule.BOXED: _boxed,
    Rule.STATED: _stated,
    Rule.LED: _led,
    Rule.WHOLE: _whole,
    Rule.LETTERED: _lettered,
    Rule.WORDS: _words,
}
_CAPITAL: Final = re.compile(r"(?<![A-Za-z0-9_'-])(?:[(\[\"']\s?)?[A-Za-z](?=\s{0,2}[.:)\]\"',])")
_BOTH: Final = re.compile(r"(?:both|either)\s", re.IGNORECASE)
_CLAUSE_END: Final = re.compile(r"[.,](?!\d)|[;:!\n]|\s[-–—]\s|\bbecause\b|\bsince\b", re.IGNORECASE)
_CLAIM_END: Final = re.compile(
    r"\b(?:because|since|due to|rather than|instead of|as opposed to|unlike|in contrast|while|whereas|"
    r"although|as (?:it|the|he|she|they|we|there|can|is|are|seen|shown|indicated|evidenced)|but not)\b|"
    r", not\b",
    re.IGNORECASE,
)
_PREDICATE: Final = re.compile(
    r"\s*(?:is|was|isn't|wasn't|cannot|can't|can|could|seems|does|doesn't|would)\b[^.,;\n]*"
)
_DENYING: Final = frozenset(
    re.findall(
        r"\w+",
        "not no never neither nor none without cannot cant isnt arent wasnt werent doesnt dont didnt wont "
        "wouldnt couldnt hardly unclear impossible wrong incorrect false except unknown",
    )
)
_DOUBTING: Final = frozenset(
    ("or", "might", "may", "could", "maybe", "perhaps", "possibly", "either", "if", "whether", "unsure")
)
_NO_CONTENT: Final = _DENYING | _DOUBTING | {"yes", "true", "both", "all", "i"}
_MOST_WORDS, _PREAMBLE = 100, 3


def _claim(sentence: str) -> str:
    """A sentence without its reasons and contrasts: "blue because …", "blue rather than red"."""
    return _CLAIM_END.split(sentence, maxsplit=1)[0]


def _denied_behind(text: str, letter: Mention) -> bool:
    """Whether "is wrong" or a similar phrase follows a letter directly."""
    behind = _PREDICATE.match(text, letter.end)
    return behind is not None and denied(behind[0])


def _of(letter: Mention, answer: _Answer) -> _Verdict:
    if letter.option >= len(answer.options):
        return Refusal.BEYOND
    if letter.others:
        return Refusal.SEVERAL
    return letter.option if letter.text in (None, letter.option) else Refusal.CONTRADICTION


def _of_text(spoken: Sequence[str], answer: _Answer) -> int | None:
    hits = [index for index, option in enumerate(answer.options) if list(option) == list(spoken)]
    return hits[0] if spoken and len(hits) == 1 else None
