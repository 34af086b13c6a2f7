"""Errors of a section of a plan: several at once, each at the key that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

PROBLEM = "plan_problem"
"""Pydantic's type of an error whose text is written for the user already."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its key, counted from the section that it is told of, and what to do."""

    key: tuple[str | int, ...]
    text: str


def refuse(problems: Iterable[Problem], also: ValidationError | None = None) -> None:
    """Raise pydantic's ValidationError for these problems, and for another's errors with them, if any."""
    details = [] if also is None else [_details(dict(e)) for e in also.errors(include_url=False)]
    for problem in problems:
        # The text goes in as a value: it may hold braces.
        error = PydanticCustomError(PROBLEM, "{text}", {"text": problem.text})
        details.append(InitErrorDetails(type=error, loc=problem.key, input=None))
    if details:
        raise ValidationError.from_exception_data("plan", details)


@contextmanager
def below(key: str) -> Iterator[None]:
    """Errors of a section that is validated within are told at ``key`` of the section around it."""
    try:
        yield
    except ValidationError as error:
        details = [_details(dict(item), key) for item in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(error.title, details) from None


def _details(item: dict[str, Any], *above: str) -> InitErrorDetails:
    kind: Any = item["type"]
    if kind == PROBLEM:
        kind = PydanticCustomError(PROBLEM, "{text}", item["ctx"])
    details = InitErrorDetails(type=kind, loc=(*above, *item["loc"]), input=item["input"])
    if "ctx" in item and item["type"] != PROBLEM:
        details["ctx"] = item["ctx"]
    return details
