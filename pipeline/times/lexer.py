"""Text -> lexemes: numbers, clock times, time tokens, units, and the few words that join them.

One pass from left to right with bounded patterns, so its time grows with the length of the text and with
nothing else. The lexer rejects nothing. English words, and the German
ones for "from 12 to 20 seconds"; digits are 0-9 only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum, auto
from typing import NamedTuple


class Kind(IntEnum):
    """The kind of a lexeme. Whitespace is not a lexeme, except the end of a line."""

    BIN = auto()  # <TEMP-012>; value: its number
    FOREIGN = auto()  # a time token of another model's vocabulary
    CLOCK = auto()  # 1:20.5; value: seconds, nan if a field is out of its range
    NUMBER = auto()
    NOT_FINITE = auto()  # the words nan, inf, infinity
    UNIT = auto()  # of time; value: in seconds
    FRAME = auto()
    FRACTION = auto()  # the word
    PERCENT = auto()
    ORDINAL = auto()  # the th of 12th
    TO = auto()  # to, through, an arrow
    UNTIL = auto()  # until, till: like TO, and like END
    DASH = auto()
    TILDE = auto()  # "about" before a number, "to" between two
    AND = auto()
    COMMA = auto()
    GLUE = auto()  # a comma between two digits: a thousand, a decimal comma or the end of a number
    START = auto()  # starts, begin, start_time
    FROM = auto()
    END = auto()  # ends, stop, end_time
    AT = auto()
    BETWEEN = auto()
    LASTING = auto()  # what follows is how long, not when
    FILL = auto()  # words that may stand around a time: the, about, mark
    OPEN = auto()  # value: 1 for <
    CLOSE = auto()  # value: 1 for >
    MARK = auto()  # quotes, colons, asterisks
    STOP = auto()  # end of a sentence
    LINE = auto()  # end of a line
    BULLET = auto()
    TAG = auto()  # <answer> and its like
    WORD = auto()  # anything else


class Lexeme(NamedTuple):
    """A piece of the text from ``start`` to ``end``. ``half``: half of the last written place of a number."""

    kind: Kind
    start: int
    end: int
    value: float = 0.0
    half: float = 0.0


def _table(kinds: dict[Kind, str]) -> dict[str, Kind]:
    return {word: kind for kind, words in kinds.items() for word in words.split()}


_WORDS = _table(
    {
        Kind.TO: "to through thru bis",
        Kind.UNTIL: "until till",
        Kind.AND: "and und",
        Kind.START: "start starts started starting begin begins began beginning commences onset "
        "starttime begintime",
        Kind.FROM: "from von",
        Kind.END: "end ends ended ending finish finishes finished stop stops stopped concludes endtime",
        Kind.AT: "at",
        Kind.BETWEEN: "between zwischen",
        Kind.LASTING: "for lasts lasting lasted takes took first last next every per after",
        Kind.FRAME: "frame frames",
        Kind.FRACTION: "fraction fractions",
        Kind.PERCENT: "percent percents",
        Kind.NOT_FINITE: "nan inf infinity",
        Kind.FILL: "the a an about around approximately approx roughly exactly nearly almost circa time "
        "times timestamp timestamps mark marks point position moment number no index is are be it its of "
        "in on up all way t event action activity segment interval period range clip video scene "
        "answer then happens occurs",
    }
)
_UNITS = {
    word: scale
    for scale, words in {
        0.001: "ms msec msecs millisecond milliseconds",
        1.0: "s sec secs second seconds sekunde sekunden",
        60.0: "m min mins minute minutes minuten",
        3600.0: "h hr hrs hour hours",
    }.items()
    for word in words.split()
}
_LETTERS = r"[^\W\d_]"
_GLUED_UNIT = re.compile("(?i:" + "|".join(sorted(_UNITS, key=len, reverse=True)) + rf")(?!{_LETTERS}|_)\.?")
_ORDINAL = re.compile(rf"(?i:st|nd|rd|th)(?!{_LETTERS}|[0-9_])")
_HYPHENED = re.compile(r"[-‐‑](?=(?i:second|minute|hour|sec|min)(?:s\b|\b))")
_SHORT = frozenset(word for word in _UNITS if len(word) < 5)
_LEX = re.compile(
    r"""
      (?P<space> [^\S\n]+ )
    | (?P<line> \n )
    | (?P<bin> < (?i:TEMP) -? (?P<id> [0-9]{1,6} ) > )
    | (?P<foreign> < (?: (?i:time_token_|timestamp_?|t_?) [0-9]{1,6} | TIME_STAMP | time_(?:start|end)
        | TEMP-[A-Z]{1,12} | [se][0-9]{1,4} ) > )
    | (?P<tag> < /? [A-Za-z][A-Za-z0-9_-]{0,30} > )
    | (?P<clock> (?P<fields> [0-9]{1,4} (?: :[0-9]{2} ){1,4} )
        (?P<rest> \.[0-9]{1,9} | (?<=:[0-9]{2}:[0-9]{2}),[0-9]{3} )? (?! [0-9] | :[0-9] ) )
    | (?P<number> (?: [0-9]+ (?: \. (?P<places> [0-9]+ ) )? | (?<! [\w.] ) \. (?P<bare> [0-9]+ ) )
        (?: [eE] (?P<power> [-+]? [0-9]{1,3} ) (?! \w ) )? )
    | (?P<frame> (?i:frames?) [-_]? (?= [0-9] ) )
    | (?P<word> [^\W\d]\w* (?: [-'’] [^\W\d_]\w* )* )
    | (?P<arrow> [-=]{1,3}> | [→⟶⇒➔] | (?<=[0-9]) (?: \.{2,3} | … ) (?=[0-9]) )
    | (?P<bullet> (?: ^ | (?<=\n) ) (?: [-–—*+•·] ) (?= [ \t] ) )
    | (?P<dash> --? | [‐‑‒–—―−] )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_SIGNS = {
    **dict.fromkeys("([{", Kind.OPEN),
    **dict.fromkeys(")]}", Kind.CLOSE),
    **dict.fromkeys(",;", Kind.COMMA),
    **dict.fromkeys("~～∼", Kind.TILDE),
    **dict.fromkeys("%％", Kind.PERCENT),
    **dict.fromkeys(".!?", Kind.STOP),
    **dict.fromkeys(":=\"'`*“”‘’#≈\\", Kind.MARK),
    "&": Kind.AND,
    "@": Kind.AT,
}


def lex(text: str, start: int = 0, stop: int | None = None) -> list[Lexeme]:
    """Lexemes of ``text[start:stop]``; their places count from the start of ``text``."""
    return list(_lexemes(text, start, len(text) if stop is None else stop))


def _lexemes(text: str, at: int, stop: int) -> Iterator[Lexeme]:
    begun = at
    while at < stop:
        found = _LEX.match(text, at, stop)
        assert found is not None, "the last pattern matches any character"
        kind, end = found.lastgroup, found.end()
        if kind == "number":
            after = _after_number(text, end, stop)
            if after is None:  # 3D, 1080p, 0F7LW: a word that begins with a digit
                end = _end_of_word(text, end, stop)
                yield Lexeme(Kind.WORD, at, end)
            else:
                yield _number(found, at, end)
                yield from after
                end = after[-1].end if after else end
        elif kind == "clock":
            yield _clock(found, at, end)
            glued = _GLUED_UNIT.match(text, end, stop)
            if glued:  # 12:34.56s, as Qwen2.5-VL writes
                end = glued.end()
                yield Lexeme(Kind.UNIT, glued.start(), end, _UNITS[glued[0].lower().rstrip(".")])
        elif kind == "word":
            yield from _word(found[0], at, end)
            if (
                found[0].lower() in _SHORT
                and text[end : end + 1] == "."
                and not text[end + 1 : end + 2].isdigit()
            ):
                end += 1  # an abbreviation's full stop ends no sentence
        elif kind == "bin":
            yield Lexeme(Kind.BIN, at, end, float(found["id"]))
        elif kind == "other":
            yield Lexeme(_sign(text, at, begun, stop), at, end, float(text[at] in "<>"))
        elif kind != "space":
            yield Lexeme(_PLAIN[str(kind)], at, end)
        at = end


_PLAIN = {
    "line": Kind.LINE,
    "foreign": Kind.FOREIGN,
    "tag": Kind.TAG,
    "frame": Kind.FRAME,
    "arrow": Kind.TO,
    "bullet": Kind.BULLET,
    "dash": Kind.DASH,
}


def _number(found: re.Match[str], at: int, end: int) -> Lexeme:
    places = len(found["places"] or found["bare"] or "") - int(found["power"] or 0)
    return Lexeme(Kind.NUMBER, at, end, float(found["number"]), 0.5 * 10.0 ** -min(max(places, -99), 99))


def _after_number(text: str, end: int, stop: int) -> list[Lexeme] | None:
    """The suffix of a number: nothing, an ordinal's ending, a unit. None: letters that are neither."""
    if end >= stop:
        return []
    hyphen = _HYPHENED.match(text, end, stop)
    at = hyphen.end() if hyphen else end
    if not (text[at].isalpha() or text[at] == "_"):
        return []
    ordinal = _ORDINAL.match(text, at, stop)
    if ordinal:
        return [Lexeme(Kind.ORDINAL, at, ordinal.end())]
    unit = _GLUED_UNIT.match(text, at, stop)
    if unit is None:
        return None
    return [Lexeme(Kind.UNIT, at, unit.end(), _UNITS[unit[0].lower().rstrip(".")])]


def _end_of_word(text: str, at: int, stop: int) -> int:
    while at < stop and (text[at].isalnum() or text[at] == "_"):
        at += 1
    return at


def _clock(found: re.Match[str], at: int, end: int) -> Lexeme:
    """[hours:]minutes:seconds[.fraction], and hours:minutes:seconds,milliseconds as in subtitles."""
    fields = [int(field) for field in found["fields"].split(":")]
    rest = (found["rest"] or "").replace(",", ".")
    if len(fields) > 3 or any(field > 59 for field in fields[1:]):
        return Lexeme(Kind.CLOCK, at, end, float("nan"))
    seconds = 0.0
    for field in fields:
        seconds = 60 * seconds + field
    places = max(len(rest) - 1, 0)
    return Lexeme(Kind.CLOCK, at, end, seconds + float(rest or 0), 0.5 * 10.0**-places)


def _word(word: str, at: int, end: int) -> list[Lexeme]:
    """A word, or the parts of ``start_time``, ``end-sec`` where all of them are known."""
    known = _known(word.lower())
    if known is None:
        parts = [_known(part) for part in re.split(r"[-_]", word.lower())]
        roles = [p for p in parts if p is not None and p[0] in (Kind.START, Kind.END, Kind.UNIT, Kind.FRAME)]
        fill = all(p is not None and (p in roles or p[0] is Kind.FILL) for p in parts)
        if not (fill and roles):
            return [Lexeme(Kind.WORD, at, end)]
        roles.sort(key=lambda p: p[0] in (Kind.UNIT, Kind.FRAME))  # the unit last, next to its number
        return [Lexeme(kind, at, end, scale) for kind, scale in roles]
    return [Lexeme(known[0], at, end, known[1])]


def _known(word: str) -> tuple[Kind, float] | None:
    if word in _UNITS:
        return Kind.UNIT, _UNITS[word]
    return (_WORDS[word], 0.0) if word in _WORDS else None


def _sign(text: str, at: int, begun: int, stop: int) -> Kind:
    sign = text[at]
    before = text[at - 1] if at > begun else ""
    after = text[at + 1] if at + 1 < stop else ""
    if sign == "," and before.isdigit() and after.isdigit():
        return Kind.GLUE
    if sign == "<":
        return Kind.OPEN if after.isdigit() else Kind.WORD
    if sign == ">":
        return Kind.CLOSE if before.isalnum() or before == "%" else Kind.WORD
    return _SIGNS.get(sign, Kind.WORD)
