"""Where a key of a plan stands, for messages to the user: its file and line, or its ``--set``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


def where(
    loc: Sequence[str | int], path: str, texts: Sequence[tuple[str, Any]], set_keys: Sequence[str]
) -> str:
    """The file and line of a key with its name, or its ``--set``.

    ``texts`` are (path, YAML nodes) of the plan file and of those that it extends, its own first.
    """
    loc = [part for part in loc if part != "[key]"]  # pydantic's mark of a mapping's key
    key = ".".join(map(str, loc))
    for given in set_keys:
        if given == key or given.startswith(key + ".") or key.startswith(given + "."):
            return f"--set {given}" + (f", {key}" if key.startswith(given + ".") else "")
    file, line = path, None
    for name, node in texts:
        at, depth = line_of(node, loc)
        if at is not None and (depth == len(loc) or line is None):
            file, line = name, at
        if depth == len(loc):
            break
    return file + (f", line {line}" if line else "") + (f", {key}" if key else "")


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
