"""One stable form of settings and values, used for digests and in records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

_PLAIN = frozenset({str, int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """Models, dataclasses, enums, tuples and paths as dicts, lists, text and numbers.

    Raises TypeError for any other type.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):  # a listing of files is a hundred thousand texts
        return [v if type(v) in _PLAIN else plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no stable form to hash")


def canonical(value: Any) -> bytes:
    """Sorted-key JSON without spaces; floats as ``repr`` writes them; NaN and infinities are refused."""
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def yaml_text(value: Any) -> str:
    """Plain values as YAML, in their order."""
    import yaml

    kind = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # several times as fast, where libyaml is there
    return yaml.dump(value, Dumper=kind, sort_keys=False, allow_unicode=True)
