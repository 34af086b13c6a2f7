"""Which part of a plan identifies an artifact: marked at each field, and read only here.

A field at its default is not part of an identity, so a new optional field does not rename artifacts made
before; a changed default changes the step's result and raises its REVISION. The mark is in the field's
type: ``Runtime[int]``, ``Bears("report")``, ``Input[str]``, ``Media[...]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

CORPORA: Final = "${corpora}"
SHARDS: Final = "shards"
"""Stands for the shards of one source, beside the kinds of steps."""

_LEFT_OUT: Final = object()
_T = TypeVar("_T")


@dataclass(frozen=True)
class Bears:
    """The artifacts whose identity includes a field: kinds of steps, or ``SHARDS``; by default none."""

    on: tuple[str, ...]

    def __init__(self, *on: str) -> None:
        object.__setattr__(self, "on", on)


@dataclass(frozen=True)
class PathForm:
    """Marks a path that is not itself part of an identity."""

    of: Callable[[str], Any]


def in_corpora(path: str) -> bool:
    """Whether a path of the plan is in its own demo corpora."""
    return path.startswith(CORPORA)


# The content of outside files is an input with a digest of its own; here it only matters that one is
# given. A path in the corpora names one of their files, and the digest of the corpora covers the content.
_INPUT = PathForm(lambda path: path if in_corpora(path) else "given")
_MEDIA = PathForm(lambda path: path if in_corpora(path) else _LEFT_OUT)

Runtime = Annotated[_T, Bears()]
"""Where, how fast or in what pieces: the result is the same."""
Input = Annotated[_T, _INPUT]
"""A file or folder that a step reads; its content is part of the identity, its path is not."""
Media = Annotated[_T, _MEDIA]
"""Folders of videos; the shards cover their content, and the record their paths."""


def identity(value: Any, of: str) -> Any:
    """The part of a section of the plan that identifies an artifact of kind ``of``, as plain JSON values.

    Sections become mappings of their fields that are not at their default and belong to the identity of
    ``of``; a section that is set with all its defaults is an empty mapping, unlike one that is left out.
    """
    if isinstance(value, BaseModel):
        return _of_section(value, of)
    if isinstance(value, Mapping):
        return {str(_value(key)): identity(item, of) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item, of) for item in value]
    return _value(value)


def inputs(section: BaseModel) -> dict[str, str]:
    """The paths of a section's own input files, by field, without those that are not set."""
    return {
        name: value
        for name, field in type(section).model_fields.items()
        if _INPUT in field.metadata and (value := getattr(section, name))
    }


def input_fields(section: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a section that name files to be read, except its media."""
    return tuple(name for name, field in section.model_fields.items() if _INPUT in field.metadata)


def bears_on(section: type[BaseModel], field: FieldInfo, of: str) -> bool:
    """Whether a field of a section is part of the identity of an artifact of kind ``of``."""
    bears = next((mark for mark in field.metadata if isinstance(mark, Bears)), None)
    if bears is None:
        return bool(getattr(section, "bears_identity", True))
    return of in bears.on


def _value(value: Any) -> Any:
    """A single value as JSON has it; a digest refuses a type that has no stable form."""
    return value.value if isinstance(value, Enum) else value


def _of_section(section: BaseModel, of: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        if not bears_on(type(section), field, of):
            continue
        form = _of_field(getattr(section, name), field, of)
        if field.is_required() or form != _of_field(field.get_default(call_default_factory=True), field, of):
            out[name] = form
    return out


def _of_field(value: Any, field: FieldInfo, of: str) -> Any:
    paths = next((mark for mark in field.metadata if isinstance(mark, PathForm)), None)
    if paths is None or value is None:
        return identity(value, of)
    if isinstance(value, str):
        return paths.of(value)
    return [form for path in value if (form := paths.of(path)) is not _LEFT_OUT]
