"""Which keys a section of the plan has, found by the path to it."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.plan.base import KeysOf


def known_keys(plan: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys of the section at a path; none where there is no section."""
    field = field_at(plan, path)
    sections = sections_of(plan if field is None else keys_of(field) or field.annotation)
    return list(sections[0].model_fields) if sections else []


def field_at(plan: type[BaseModel], path: Sequence[str | int]) -> FieldInfo | None:
    """The field at a path, or its nearest parent that is a field; None for the plan itself."""
    field: FieldInfo | None = None
    here: Any = plan
    for part in path:
        # An index or a mapping's key stays within the same annotation: its arguments name the section.
        sections = sections_of(here)
        if sections and part in sections[0].model_fields:
            field = sections[0].model_fields[str(part)]
            here = keys_of(field) or field.annotation
    return field


def sections_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in typing.get_args(annotation) for section in sections_of(part)]


def keys_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section whose keys a mapping has."""
    return next((mark.section for mark in field.metadata if isinstance(mark, KeysOf)), None)
