"""Errors of a section of a plan: several at once, each at its own key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

PROBLEM = "plan_problem"
"""Pydantic's error type for texts that are already written for the user."""


@dataclass(frozen=True)
class Problem:
    """One problem: its key, relative to the section that reports it, and a text for the user."""

    key: tuple[str | int, ...]
    text: str


def refuse(problems: Iterable[Problem], also: ValidationError | None = None) -> None:
    """Raise pydantic's ValidationError for these problems and for the errors of ``also``, if any."""
    details = [] if also is None else [_details(dict(e)) for e in also.errors(include_url=False)]
    for problem in problems:
        # The text is passed as a value, since it may hold braces.
        error = PydanticCustomError(PROBLEM, "{text}", {"text": problem.text})
        details.append(InitErrorDetails(type=error, loc=problem.key, input=None))
    if details:
        raise ValidationError.from_exception_data("plan", details)


@contextmanager
def below(key: str) -> Iterator[None]:
    """Report errors of a nested section at ``key`` of the section around it."""
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
