"""What every section of a plan has in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from pipeline.plan.section_errors import Problem, refuse


class Config(BaseModel):
    """A frozen section of a plan; unknown keys are errors, so a misspelt option cannot be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_enum_values=False)

    bears_identity: ClassVar[bool] = True
    """Whether fields bear identity unless they are marked otherwise (``pipeline.plan.identity``)."""

    def problems(self) -> Iterator[Problem]:
        """Problems between values that are valid alone; all are reported, each at its own key."""
        yield from ()

    @model_validator(mode="after")
    def _values_fit_together(self) -> Self:
        refuse(self.problems())
        return self


class RuntimeConfig(Config):
    """A section about where and how work is done: its fields bear no identity unless marked otherwise."""

    bears_identity: ClassVar[bool] = False


@dataclass(frozen=True)
class KeysOf:
    """Marks a mapping that holds some of a section's keys; its values are validated as that section's."""

    section: type[Config]
