"""Plan file -> Plan, with ``--set`` applied and every mistake in one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.errors import UserError, combined_error
from pipeline.plan import key_place
from pipeline.plan.messages import message, worth_telling
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class PlanFile:
    """A plan with its file, so that errors can name the line."""

    plan: Plan
    path: str
    texts: tuple[tuple[str, Any], ...]  # (path, YAML nodes) of the file and of those that it extends
    set_keys: tuple[str, ...]

    def where(self, key: Sequence[str | int]) -> str:
        """The place of a key: file and line, or its ``--set``."""
        return key_place.where(key, self.path, self.texts, self.set_keys)


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
        errors = worth_telling(error.errors(include_url=False))
        errors.sort(key=lambda item: key_place.line_of(texts[0][1], item["loc"])[0] or 0)
        problems = [
            UserError(key_place.where(item["loc"], str(path), texts, set_keys), message(item))
            for item in errors
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
    data, node = read_yaml(text, str(path))
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


def read_yaml(text: str, name: str) -> tuple[Any, yaml.Node | None]:
    """The data of a YAML text, and its node tree. Raises UserError with the line, for a duplicate key too."""
    try:
        return _parsed(text, name, _FAST_LOADER)
    except (yaml.YAMLError, RecursionError, UserError):
        pass  # the loader in Python explains errors better, and names the file in them
    try:
        return _parsed(text, name, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise UserError(
            where,
            f"is not valid YAML: {error.problem or error.context}.",
            "Check indentation, colons and quotes.",
        ) from None
    except RecursionError:
        raise UserError(name, "holds an anchor that contains itself.", "Write its content out.") from None
    except yaml.YAMLError as error:
        raise UserError(
            name, f"is not valid YAML: {error}.", "Check that it is a text file in UTF-8."
        ) from None


def _parsed(text: str, name: str, kind: Any) -> tuple[Any, yaml.Node | None]:
    loader = kind(text)
    loader.name = name
    try:
        node = loader.get_single_node()
        if node is not None:
            _check_keys(node, loader)
        return (_unshared(loader.construct_document(node)) if node else None), node
    finally:
        loader.dispose()


def _check_keys(root: yaml.Node, loader: yaml.SafeLoader) -> None:
    """Refuse a duplicate key, of which YAML would keep the last, and a key that is not a single value.

    The nodes are checked before construction, which writes merged keys (``<<``) into them that
    an explicit key may override.
    """
    queue, visited = [root], set()
    while queue:
        node = queue.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            queue += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: dict[Any, int] = {}
        for key_node, value_node in node.value:
            queue.append(value_node)
            line = key_node.start_mark.line + 1
            where = f"{key_node.start_mark.name}, line {line}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(
                    where, "a mapping or a list is where a key belongs.", "Quote text that holds braces."
                )
            key = "<<" if key_node.tag == _MERGE else loader.construct_object(key_node, deep=True)
            if key in seen:
                raise UserError(where, f"the key {key} is here and on line {seen[key]}.", "Keep one of them.")
            seen[key] = line


def _unshared(data: Any) -> Any:
    """A copy in which ``&name`` and every ``*name`` are separate values, so that --set changes one."""
    if isinstance(data, dict):
        return {key: _unshared(item) for key, item in data.items()}
    return [_unshared(item) for item in data] if isinstance(data, list) else data


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
            here[index] = _value(text)
        else:
            if isinstance(here, dict) and here.get(index) is None:
                here[index] = {}
            here = here[index]


def _value(text: str) -> Any:
    """One value of ``--set``, typed as YAML types it; the plan's own types then decide: 2e-5 is a number."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set …={text}", "is not a YAML value.", "Quote it.") from None
