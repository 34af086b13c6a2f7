"""The base class of every section of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pipeline.plan.section_errors import Problem, refuse

_postponed: ContextVar[bool] = ContextVar("problems are asked for when all sections are read", default=False)


class Config(BaseModel):
    """A frozen section of a plan; unknown keys are errors, so a misspelt option cannot be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_enum_values=False)

    bears_identity: ClassVar[bool] = True
    """Whether fields are part of the identity unless they are marked otherwise
    (``pipeline.plan.identity``)."""

    def problems(self) -> Iterator[Problem]:
        """Problems between values that are valid alone; all are reported, each at its own key."""
        yield from ()

    @model_validator(mode="after")
    def _values_fit_together(self) -> Self:
        if not _postponed.get():
            refuse(self.problems())
        return self


class RuntimeConfig(Config):
    """A section about where and how work is done: only fields marked otherwise are part of the identity."""

    bears_identity: ClassVar[bool] = False


@dataclass(frozen=True)
class KeysOf:
    """Marks a mapping that holds some of a section's keys; its values are validated as that section's."""

    section: type[Config]


C = TypeVar("C", bound=Config)


def read_whole(read: Callable[[], C]) -> C:
    """The section that ``read`` validates. Raises ValidationError with every problem in it, at any depth.

    Pydantic does not look at a section whose inner sections have errors, so all are asked for their problems
    once all values are valid. Where a value is not, the sections without such values are asked.
    """
    before = _postponed.set(True)
    try:
        section = read()
    except ValidationError:
        _postponed.set(False)
        section = read()
    finally:
        _postponed.reset(before)
    refuse(_problems_at((), section))
    return section


def _problems_at(key: tuple[str | int, ...], value: Any) -> Iterator[Problem]:
    """Problems of a section and of those in it, each with its key from the root."""
    if isinstance(value, Config):
        for name in type(value).model_fields:
            yield from _problems_at((*key, name), getattr(value, name))
        yield from (replace(problem, key=(*key, *problem.key)) for problem in value.problems())
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _problems_at((*key, name), item)
    elif isinstance(value, tuple):
        for at, item in enumerate(value):
            yield from _problems_at((*key, at), item)
