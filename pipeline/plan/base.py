"""What every section of a plan has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen section of a plan; unknown keys are errors, so a misspelt option cannot be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_enum_values=False)
