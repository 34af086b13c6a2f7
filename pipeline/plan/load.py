"""Plan file -> Plan, with ``--set`` applied and every mistake in one error."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.errors import UserError, combined_error
from pipeline.plan import yaml_file
from pipeline.plan.keys import known_keys
from pipeline.plan.messages import message
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location


@dataclass(frozen=True)
class PlanFile:
    """A plan with its file, so that errors can name the line."""

    plan: Plan
    path: str
    texts: tuple[tuple[str, Any], ...]  # (path, YAML nodes) of the file and of those that it extends
    set_keys: tuple[str, ...]

    def where(self, key: Sequence[str | int]) -> str:
        """The place of a key: file and line, or its ``--set``."""
        return _where(key, self.path, self.texts, self.set_keys)


def load_plan(path: str, sets: Sequence[str] = ()) -> Plan:
    """Read and validate a plan file (local or on S3). Raises UserError only, with every mistake in it."""
    return load_plan_file(path, sets).plan


def load_plan_file(path: str, sets: Sequence[str] = ()) -> PlanFile:
    """As ``load_plan``, and keeps the place of every key.

    ``extends: other.yaml`` inherits another plan, relative to this one: mappings are merged key by
    key, everything else is replaced.
    """
    data, texts = _read(path)
    for item in sets:
        _set(data, item)
    set_keys = tuple(sorted({item.partition("=")[0].strip() for item in sets}))
    try:
        plan = Plan.model_validate(data)
    except ValidationError as error:
        errors = _worth_telling(error.errors(include_url=False))
        errors.sort(key=lambda item: yaml_file.line_of(texts[0][1], item["loc"])[0] or 0)
        problems = [
            UserError(_where(item["loc"], str(path), texts, set_keys), message(item)) for item in errors
        ]
        raise combined_error(str(path), problems) from None
    return PlanFile(plan, str(path), texts, set_keys)


def _read(path: str, below: tuple[str, ...] = ()) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """The data of a plan with what it extends, and the nodes of each file, its own first."""
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
            str(path), "does not hold a mapping of sections.", "A plan begins with `name:` and `storage:`."
        )
    base = data.pop("extends", None)
    own = (str(path), node)
    if base is None:
        return data, (own,)
    if not isinstance(base, str):
        raise UserError(f"{path}, extends", f"is not a path but {base!r}.", "Name one plan file.")
    folder, slash, _ = str(path).rpartition("/")
    base_path = base if base.startswith("/") or "://" in base else f"{folder}{slash}{base}"
    if base_path in (*below, str(path)):
        raise UserError(f"{path}, extends", f"{base} extends this plan in turn.", "Break the circle.")
    inherited, texts = _read(base_path, (*below, str(path)))
    return _merged(inherited, data), (own, *texts)


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
                    where,
                    f"{so_far} is a list of {len(here)}; {part} is not an index of it.",
                    "Count from 0.",
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


def _worth_telling(errors: Sequence[Any]) -> list[Any]:
    """All errors except those that follow from another one.

    A key may be missing because it is misspelt, or a list empty because its items are wrong.
    """
    explained: set[tuple[Any, ...]] = set()
    for item in errors:
        explained |= {tuple(item["loc"][:i]) for i, part in enumerate(item["loc"]) if isinstance(part, int)}
        if item["type"] == "extra_forbidden":
            section = tuple(item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known_keys(Plan, section), 1, 0.5)
            explained |= {(*section, key) for key in near}
    return [
        item
        for item in errors
        if item["type"] not in ("missing", "too_short") or tuple(item["loc"]) not in explained
    ]


def _where(
    loc: Sequence[str | int], path: str, texts: Sequence[tuple[str, Any]], set_keys: Sequence[str]
) -> str:
    loc = [part for part in loc if part != "[key]"]  # pydantic's mark of a mapping's key
    key = ".".join(map(str, loc))
    for given in set_keys:
        if given == key or given.startswith(key + ".") or key.startswith(given + "."):
            return f"--set {given}" + (f", {key}" if key.startswith(given + ".") else "")
    file, line = path, None
    for name, node in texts:
        at, depth = yaml_file.line_of(node, loc)
        if at is not None and (depth == len(loc) or line is None):
            file, line = name, at
        if depth == len(loc):
            break
    return file + (f", line {line}" if line else "") + (f", {key}" if key else "")
