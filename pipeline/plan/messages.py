"""Pydantic's errors in a plan, rewritten for the author of a YAML file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.plan.keys import field_at, known_keys
from pipeline.plan.plan import Plan
from pipeline.plan.section_errors import PROBLEM
from pipeline.plan.suggest import suggest
from pipeline.storage.credentials import without_credentials

_IS_NOT: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number that a computer can hold",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text; quote it",
    "list_type": "a list; write it in [ ]",
    "tuple_type": "a list; write it in [ ]",
    "dict_type": "a section with keys of its own",
    "mapping_type": "a section with keys of its own",
    "model_type": "a section with keys of its own",
    "model_attributes_type": "a section with keys of its own",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("gt", "has to be more than"),
    "greater_than_equal": ("ge", "has to be at least"),
    "less_than": ("lt", "has to be less than"),
    "less_than_equal": ("le", "has to be at most"),
}


def message(item: Mapping[str, Any]) -> str:
    """The problem, and if possible the remedy, in one or two sentences."""
    kind, loc, given, context = item["type"], item["loc"], item.get("input"), item.get("ctx") or {}
    if kind == PROBLEM:
        return _sentence(str(context["text"]))
    if kind == "extra_forbidden":
        return f"unknown key {loc[-1]}. {suggest(loc[-1], known_keys(Plan, loc[:-1]), 'Known keys')}".strip()
    if kind == "missing":
        return f"the key {loc[-1]} is missing."
    if kind in ("value_error", "assertion_error"):
        return _sentence(" ".join(str(item["msg"]).partition(", ")[2].split()) or str(item["msg"]))
    if kind in ("bool_type", "bool_parsing"):
        return f"{_shown(given)} is neither true nor false."
    if kind in _IS_NOT:
        return f"{_shown(given)} is not {_IS_NOT[kind]}."
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{_shown(given)} {words} {context[name]:g}."
    if kind in ("enum", "literal_error"):
        values = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"{_shown(given)} is not a value of this key. {suggest(given, values, 'Its values')}"
    if kind == "string_pattern_mismatch":
        field = field_at(Plan, loc)
        meaning = f" {field.description}" if field and field.description else ""
        return f"{_shown(given)} has characters that are not allowed.{meaning}"
    if kind == "too_short":
        least = context["min_length"]
        return "is empty." if least == 1 else f"has fewer than {least} entries."
    if kind == "too_long":
        return f"has more than {context['max_length']} entries."
    text = str(item["msg"])
    return f"{text[0].lower()}{text[1:]}, not {_shown(given)}."


def worth_telling(errors: Sequence[Any]) -> list[Any]:
    """All errors except those that follow from another one.

    A key may be missing because it is misspelt, or a list empty because its items are wrong.
    """
    explained: set[tuple[Any, ...]] = set()
    for item in errors:
        explained |= {tuple(item["loc"][:i]) for i, part in enumerate(item["loc"]) if isinstance(part, int)}
        if item["type"] == "extra_forbidden":
            section = tuple(item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known_keys(Plan, section), 1, 0.5)
            explained |= {(*section, key) for key in near}
    return [
        item
        for item in errors
        if item["type"] not in ("missing", "too_short") or tuple(item["loc"]) not in explained
    ]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else text + "."


def _shown(given: Any) -> str:
    """A value as the plan has it, without credentials; a long or nested one by its kind."""
    if isinstance(given, str):
        return repr(without_credentials(given))
    if given is None or isinstance(given, bool):
        return {None: "null", True: "true", False: "false"}[given]
    if isinstance(given, Mapping):
        return "a section"
    if isinstance(given, list | tuple):
        return "a list"
    return repr(given)
