"""Every tensor in which a checkpoint and a model differ, in one message; numbered names are folded.

``model.layers.0.mlp.up_proj.weight`` to ``model.layers.27.mlp.up_proj.weight`` are one entry,
``model.layers.{0-27}.mlp.up_proj.weight``, so that the complete list stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from pipeline.errors import UserError

_NUMBER = re.compile("0|[1-9][0-9]*")


@dataclass(kw_only=True, slots=True)
class Mismatches:
    """Differences, collected while weights are read; ``refuse`` raises once all of them are known."""

    missing: list[str] = field(default_factory=list)
    """names of the model that the checkpoint lacks"""
    unexpected: list[tuple[str, str]] = field(default_factory=list)
    """(name, file) of tensors that the model does not have"""
    ignored: list[str] = field(default_factory=list)
    """names outside the loaded parts that the model does not have: listed, but not an error by themselves"""
    shapes: list[tuple[str, str]] = field(default_factory=list)
    """(name, the two shapes and the file)"""

    def add_unexpected(self, name: str, file: Path | None) -> None:
        """Add a tensor that the model does not have."""
        self.unexpected.append((name, _in(file)))

    def add_shape(self, name: str, stored: Tensor, expected: Tensor, file: Path | None) -> None:
        """Add a tensor whose shape differs from the model's."""
        self.shapes.append((name, f" is {_shape(stored)}, the model has {_shape(expected)}{_in(file)}"))

    def refuse(self, where: str, fix: str) -> None:
        """Raises UserError that counts and lists all differences, if there are any."""
        if not (self.missing or self.unexpected or self.shapes):
            return
        problems = [
            _summary("missing names", [(name, "") for name in self.missing]),
            _summary("unexpected names", self.unexpected),
            _summary("unknown names outside the loaded parts", [(name, "") for name in self.ignored]),
            _summary("different shapes", self.shapes),
        ]
        raise UserError(where, " ".join(filter(None, problems)), fix)


def fold_names(names: Iterable[str]) -> list[str]:
    """The names in order, with those that differ only in one number folded into one: ``a.{0-3,7}.b``.

    Only whole components between dots are folded, and each entry stands for exactly the names it spells out.
    """
    rows = [tuple(name.split(".")) for name in dict.fromkeys(names)]
    for place in range(max(map(len, rows), default=0)):
        groups: dict[tuple[str, ...], list[str]] = {}
        for row in rows:
            numbered = place < len(row) and _NUMBER.fullmatch(row[place]) is not None
            key = (*row[:place], "", *row[place + 1 :]) if numbered else row
            groups.setdefault(key, []).extend([row[place]] if numbered else [])
        rows = [
            (*key[:place], _numbers(found), *key[place + 1 :]) if found else key
            for key, found in groups.items()
        ]
    return [".".join(row) for row in rows]


def _numbers(found: list[str]) -> str:
    """``3``, or ``{0-3,7}``."""
    if len(found) == 1:
        return found[0]
    runs: list[list[int]] = []
    for number in sorted(map(int, found)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "{" + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) + "}"


def _summary(what: str, entries: list[tuple[str, str]]) -> str:
    """``2 unexpected names: a (x.bin); b (y.bin).``; names are folded where the rest is the same."""
    if not entries:
        return ""
    by_rest: dict[str, list[str]] = {}
    for name, rest in entries:
        by_rest.setdefault(rest, []).append(name)
    lines = [name + rest for rest, names in by_rest.items() for name in fold_names(names)]
    return f"{len(entries)} {what}: {'; '.join(lines)}."


def _in(file: Path | None) -> str:
    return f" ({file.name})" if file else ""


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
