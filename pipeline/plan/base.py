"""What every section of a plan has in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen section of a plan; unknown keys are errors, so a misspelt option cannot be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_enum_values=False)

    bears_identity: ClassVar[bool] = True
    """What holds of a field that says nothing else (``pipeline.plan.identity``)."""


class RuntimeConfig(Config):
    """A section about where and how work is done: its fields bear no identity unless they say so."""

    bears_identity: ClassVar[bool] = False
