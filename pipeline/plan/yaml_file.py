"""YAML with the line of every key; duplicate keys are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from pipeline.errors import UserError

_MERGE = "tag:yaml.org,2002:merge"


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
                    where, "a mapping or a list stands where a key belongs.", "Quote text that holds braces."
                )
            key = "<<" if key_node.tag == _MERGE else loader.construct_object(key_node, deep=True)
            if key in seen:
                raise UserError(
                    where, f"the key {key} stands here and on line {seen[key]}.", "Keep one of them."
                )
            seen[key] = line


def read(text: str, name: str) -> tuple[Any, yaml.Node | None]:
    """The data of a YAML text, and its node tree for ``line_of``. Raises UserError with the line."""
    loader = yaml.SafeLoader(text)
    loader.name = name
    try:
        node = loader.get_single_node()
        if node is not None:
            _check_keys(node, loader)
        return (_unshared(loader.construct_document(node)) if node else None), node
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
    finally:
        loader.dispose()


def _unshared(data: Any) -> Any:
    """A copy in which ``&name`` and every ``*name`` are separate values, so that --set changes one."""
    if isinstance(data, dict):
        return {key: _unshared(item) for key, item in data.items()}
    return [_unshared(item) for item in data] if isinstance(data, list) else data


def value(text: str) -> Any:
    """One value of ``--set``, typed as YAML types it; the plan's own types then decide: 2e-5 is a number."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set …={text}", "is not a YAML value.", "Quote it.") from None


def line_of(node: yaml.Node | None, path: Sequence[Any]) -> tuple[int | None, int]:
    """Line of the key or list item at a path, or of its nearest parent in the file.

    The second value is the number of parts of the path that were found.
    """
    line = None
    for depth, part in enumerate(path):
        child = None
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if key_node.value == str(part):
                    line, child = key_node.start_mark.line + 1, value_node
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
            line = child.start_mark.line + 1
        if child is None:
            return line, depth
        node = child
    return line, len(path)
