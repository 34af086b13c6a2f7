"""Plan file -> Plan, with ``--set`` applied and every mistake told in one paragraph."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.plan import yaml_file
from pipeline.plan.keys import known_keys
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

_SHOWN = 5


def load_plan(path: str, sets: Sequence[str] = ()) -> Plan:
    """Read and validate a plan file (local or on S3). Raises UserError only.

    ``extends: other.yaml`` takes over another plan, named relative to this one: mappings are merged key by
    key, everything else is replaced.
    """
    data, node = _read(path)
    for item in sets:
        _set(data, item)
    set_keys = {item.partition("=")[0].strip() for item in sets}
    try:
        return Plan.model_validate(data)
    except ValidationError as error:
        raise _one_paragraph(error, str(path), node, set_keys) from None


def _read(path: str, below: tuple[str, ...] = ()) -> tuple[dict[str, Any], Any]:
    """The data of a plan with what it extends, and the nodes of its own file."""
    place = Location.parse(path)
    example = "Give the path of a YAML file, such as plans/demo.yaml."
    try:
        text = place.read_text()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(str(path), "there is no such plan file.", example) from None
    except IsADirectoryError:
        raise UserError(str(path), "is a folder.", example) from None
    except UnicodeDecodeError:
        raise UserError(str(path), "is not a text file in UTF-8.", "Give the path of a YAML file.") from None
    data, node = yaml_file.read(text, str(path))
    if not isinstance(data, dict):
        raise UserError(
            str(path), "holds no mapping of sections.", "A plan begins with `name:` and `storage:`."
        )
    base = data.pop("extends", None)
    if base is None:
        return data, node
    if not isinstance(base, str):
        raise UserError(f"{path}, extends", f"is no path but {base!r}.", "Name one plan file.")
    folder, slash, _ = str(path).rpartition("/")
    base_path = base if base.startswith("/") or "://" in base else f"{folder}{slash}{base}"
    if base_path in (*below, str(path)):
        raise UserError(f"{path}, extends", f"{base} extends this plan in turn.", "Break the circle.")
    return _merged(_read(base_path, (*below, str(path)))[0], data), node


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    shared = [k for k, v in own.items() if isinstance(v, dict) and isinstance(base.get(k), dict)]
    both = {k: _merged(base[k], own[k]) for k in shared}
    return {**base, **own, **both}


def _set(data: dict[str, Any], item: str) -> None:
    """Apply one ``a.b=c``; lists by index. New keys are left to the validation of the plan."""
    key, equals, text = item.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(
            f"--set {without_credentials(item)}",
            "is not of the form a.b=c.",
            "For example --set stages.0.steps=30.",
        )
    here: Any = data
    for i, part in enumerate(parts):
        where = f"--set {without_credentials(item)}"
        so_far = ".".join(parts[:i]) or "the plan"
        last = i == len(parts) - 1
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                raise UserError(
                    where, f"{so_far} is a list of {len(here)}; {part} is no index of it.", "Count from 0."
                )
            index: Any = int(part)
        elif isinstance(here, dict):
            index = part
        else:
            raise UserError(where, f"{so_far} is a single value and has no {part}.", "Check the key.")
        if last:
            here[index] = yaml_file.value(text)
        else:
            if isinstance(here, dict) and here.get(index) is None:
                here[index] = {}
            here = here[index]


def _one_paragraph(error: ValidationError, path: str, node: Any, set_keys: set[str]) -> UserError:
    found = []
    # A misspelt key is told first: it explains the missing one beside it.
    for item in sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[:_SHOWN]:
        loc = item["loc"]
        key = ".".join(str(part) for part in loc)
        found.append((key, loc, _problem(dict(item))))
    key, loc, problem = found[0]
    caused = [k for k in sorted(set_keys) if k == key or k.startswith(key + ".") or key.startswith(k + ".")]
    if caused:
        where = f"--set {caused[0]}"
    else:
        line = yaml_file.line_of(node, loc)
        where = path + (f", line {line}" if line else "") + (f", {key}" if key else "")
    more = [f"{k}: {p}" for k, _, p in found[1:]]
    left = error.error_count() - len(found)
    if left > 0:
        more.append(f"and {left} more")
    return UserError(where, problem, f"Also {'; '.join(more)}" if more else "")


def _problem(item: dict[str, Any]) -> str:
    kind, loc, given = item["type"], item["loc"], item.get("input")
    if kind == "extra_forbidden":
        known = known_keys(Plan, loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, 1, 0.5)
        hint = f"Did you mean {near[0]}?" if near else (f"Known keys: {', '.join(known)}." if known else "")
        return f"unknown key {loc[-1]}. {hint}".strip()
    if kind == "missing":
        return f"the key {loc[-1]} is missing."
    text = str(item["msg"])
    if kind in ("value_error", "assertion_error"):
        text = " ".join(text.partition(", ")[2].split()) or text
        return text if text.endswith((".", "?")) else text + "."
    text = text[0].lower() + text[1:]
    if isinstance(given, str):
        given = without_credentials(given)
    if isinstance(given, str | int | float | bool) or given is None:
        text += f", not {given!r}"
    return text + "."
