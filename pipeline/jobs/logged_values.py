"""A plan as it is shown to others: flat or as YAML, without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.canonical import plain
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials

SECRET = re.compile(
    r"passw|token(?!iz|s\b|s_|_tokens)|secret|credential|api_?key|access_?key|private_?key", re.IGNORECASE
)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one with dotted keys; lists of sections by index."""
    out: dict[str, Any] = {}
    for key, item in plain(value).items():
        name = f"{prefix}{key}"
        if isinstance(item, list) and any(isinstance(v, dict) for v in item):
            item = {str(i): v for i, v in enumerate(item)}
        out |= flatten(item, name + ".") if isinstance(item, dict) else {name: item}
    return out


def plan_text(plan: Plan) -> str:
    """The whole plan as YAML, every default written out, without credentials."""
    return yaml.safe_dump(_clean(plain(plan)), sort_keys=False, allow_unicode=True)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if not SECRET.search(k)}
    if isinstance(value, list):
        return [_clean(v) for v in value]
    return without_credentials(value) if isinstance(value, str) else value
