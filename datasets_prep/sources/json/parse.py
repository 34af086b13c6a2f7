"""Parses the bytes of one JSON value: the value, or what is wrong with it and whether it is valid JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

_HALF = re.compile("[\ud800-\udfff]")


class Unparsed:
    """A value that cannot be read: its position in the file is known, its content is not.

    ``valid``: it is valid JSON with content that no reader can use; ``problem`` says what and where.
    """

    def __init__(self, problem: str, *, valid: bool = False) -> None:
        self.problem, self.valid = problem, valid


def load_value(file: BinaryIO, start: int, end: int) -> Any:
    """The value at byte positions of an open file, ``Unparsed`` if it is not JSON."""
    file.seek(start)
    return parse(file.read(end - start))


def parse(text: bytes) -> Any:
    """The value. Python reads NaN and Infinity, which its own writer makes and orjson refuses."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _as_python_reads(text, error)
    twice = repeated_name(text) if may_repeat_names(text, found) else None
    return found if twice is None else _twice(twice)


def _as_python_reads(text: bytes, error: ValueError) -> Any:
    try:
        found = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as problem:
        return Unparsed(f"byte {problem.start} is not UTF-8")
    except json.JSONDecodeError:
        return Unparsed(str(error))
    except RecursionError:
        return Unparsed("it is nested too deeply to be read", valid=True)
    except ValueError as problem:  # a number of thousands of digits
        return Unparsed(str(problem), valid=True)
    if (twice := repeated_name(text)) is not None:
        return _twice(twice)
    for place, half in _halves(found, ""):
        character = f"\\u{ord(half):04x}"
        return Unparsed(
            f"{place or 'it'} holds {character}, one half of a character that is written in two", valid=True
        )
    return found


def _halves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Texts with a lone surrogate, which is half of a character: where each is, and the half."""
    if isinstance(value, str):
        if half := _HALF.search(value):
            yield place and f"`{place}`", half.group()
    elif isinstance(value, dict):
        for name, item in value.items():
            if half := _HALF.search(name):
                yield f"the name {name!a}", half.group()
            yield from _halves(item, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _halves(item, f"{place}[{at}]")


def _twice(name: str) -> Unparsed:
    return Unparsed(f"the name {name!r} occurs twice in one object", valid=True)


def may_repeat_names(text: bytes, found: Any) -> bool:
    """Whether an object may have a name twice, of which parsers keep the last. There are false positives.

    Names are counted in the text and in the parsed value. Only a name is followed by a colon; a quote in a
    text has a backslash in front of it.
    """
    try:
        return _count_names(text) != _count_names(orjson.dumps(found))
    except orjson.JSONEncodeError:  # nested deeper than orjson writes, but not deeper than it reads
        return True


def _count_names(text: bytes) -> int:
    return text.count(b'":') - text.count(b'\\":')


def repeated_name(text: bytes) -> str | None:
    """The name that occurs twice in one object, if there is one."""
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            repeated.append(Counter(name for name, _ in pairs).most_common(1)[0][0])

    try:
        json.loads(text, object_pairs_hook=look)
    except RecursionError:  # nested too deeply to be checked; readers cannot read it either
        return None
    return repeated[0] if repeated else None
