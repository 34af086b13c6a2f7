"""``docs/plan-reference.md``: every key of a plan with type, default and meaning, made from the sections.

``python -m pipeline.plan.reference`` prints the page, ``--write`` writes it.
"""

from __future__ import annotations

import argparse
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.plan.keys import keys_of, sections_of
from pipeline.plan.plan import Plan
from pipeline.plan.presets import Preset, model_config

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plan-reference.md"
COMMAND = "python -m pipeline.plan.reference --write"
_HEAD = f"""# Every key of a plan

Made by `{COMMAND}` from `pipeline/plan/`; do not edit it.

A plan is a YAML file. `ufvideo check PLAN` reports every mistake. `--set a.b=c` changes one value for one
command; items of lists are numbered from 0. `extends: other.yaml` at the top inherits another plan, and this
one then has only what differs. **Bold** keys are required.
"""
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
_LIMITS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


@dataclass(frozen=True)
class Section:
    """One table of the page. ``path`` is where a plan has it: ``stages[].layout``."""

    path: str
    model: type[BaseModel]
    values: Mapping[str, Any] | None = None  # of the preset, if it gives the defaults


def sections() -> Iterator[Section]:
    """Every section in the order of the plan, each above those within it."""
    yield from _below("", Plan, None)


def without_description() -> list[str]:
    """Keys without a description."""
    return [
        f"{section.path}.{name}".removeprefix(".")
        for section in sections()
        for name, field in section.model.model_fields.items()
        if not field.description
    ]


def page() -> str:
    """The whole page as Markdown."""
    out = [_HEAD]
    for section in sections():
        title = f"`{section.path}`" if section.path else "The plan itself"
        out.append(f"\n## {title}\n")
        text = " ".join((section.model.__doc__ or "").replace("``", "`").split())
        out.append(f"{text}\n")
        out.append("| Key | Type | Default | Meaning |\n|---|---|---|---|")
        out += [_row(section, name, field) for name, field in section.model.model_fields.items()]
    return "\n".join(out) + "\n"


def _below(path: str, model: type[BaseModel], values: Mapping[str, Any] | None) -> Iterator[Section]:
    yield Section(path, model, values)
    for name, field in model.model_fields.items():
        here = f"{path}.{name}".removeprefix(".")
        own = None if values is None else values.get(name)
        if keys := keys_of(field):
            yield from _below(here, keys, model_config(Preset.PUBLISHED_7B).model_dump(mode="json"))
        for inner in sections_of(field.annotation):
            yield from _below(here + _many(field.annotation), inner, own)


def _many(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    return "[]" if origin in (tuple, list) else ".NAME" if origin is dict else ""


def _row(section: Section, name: str, field: FieldInfo) -> str:
    required = field.is_required() and section.values is None
    key = f"**`{name}`**" if required else f"`{name}`"
    if section.values is not None:
        default = _value(section.values[name])
    else:
        default = "" if required else _value(field.get_default(call_default_factory=True))
    cells = [key, _type(field), default, field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _type(field: FieldInfo) -> str:
    limits = [
        f"{word} {getattr(mark, kind.__name__.lower()):g}"
        for mark in field.metadata
        for kind, word in _LIMITS.items()
        if isinstance(mark, kind)
    ]
    if keys_of(field):
        return "section"
    return ", ".join([_words(field.annotation), *limits])


def _words(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{item.value}`" for item in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _words(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(a) for a in arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)}: {_words(arguments[0])}"
    if origin in (tuple, list):
        return f"list of {_plural(arguments[0])}"
    if origin is dict:
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}"
    return str(annotation)


def _plural(annotation: Any) -> str:
    word = _words(annotation)
    return f"{word}s" if word in ("section", "number", "whole number") else word


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, BaseModel | Mapping):
        return ""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item).strip("`") for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def main(argv: list[str] | None = None) -> int:
    """Print the page, or write it."""
    return print_or_write(page, PAGE, "python -m pipeline.plan.reference", __doc__, argv)


def print_or_write(
    page: Callable[[], str], place: Path, prog: str, about: str | None, argv: list[str] | None
) -> int:
    """The command of a generated page."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--write", action="store_true", help=f"write {place.name} instead of printing it")
    if parser.parse_args(argv).write:
        place.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
