"""A table with notes as plain text of any width. Nothing is cut: what is too wide for a table is a list."""

from __future__ import annotations

import io
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAME = 12  # characters into which a name may be folded
_INDENT = "    "


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """``names`` are the two first columns: a group, said once for its rows, and a name. The rest are numbers.

    ``rows`` hold a cell for each column.
    """

    title: str
    names: tuple[str, str]
    numbers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> TextTable:
        """From what ``asdict`` and JSON made of one."""
        return cls(
            title=content["title"],
            names=tuple(content["names"]),
            numbers=tuple(content["numbers"]),
            rows=tuple(map(tuple, content["rows"])),
            notes=tuple(content["notes"]),
        )

    def text(self, width: int) -> str:
        """Lines of at most ``width`` characters, but for words that are longer."""
        body = self._table(width) if self.fits(width) else self._list(width)
        return "\n".join(row.rstrip() for row in body) + "\n"

    def fits(self, width: int, gap: int = 1) -> bool:
        """Whether every number has its place in one line beside names of a readable width.

        ``gap`` spaces are between two columns, and one is at each end.
        """
        names, numbers = self._least_widths()
        columns = [*names, *numbers]
        return sum(columns) + gap * (len(columns) - 1) + 2 <= width

    def _least_widths(self) -> tuple[list[int], list[int]]:
        """Of the columns of names, which may be folded, and of numbers, which break at no place but a space
        of their head."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.names + self.numbers)
        widest = [max(map(len, cells), default=0) for cells in columns]
        names = [min(_NAME, max(len(head), cell)) for head, cell in zip(self.names, widest[:2], strict=True)]
        words = [max(map(len, head.split() or [""])) for head in self.numbers]
        return names, [max(word, cell) for word, cell in zip(words, widest[2:], strict=True)]

    def _table(self, width: int) -> list[str]:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        gap = 2 if self.fits(width, gap=2) else 1
        drawn = Table(
            box=SIMPLE_HEAD,
            title=self.title,
            title_justify="left",
            pad_edge=False,
            padding=(0, gap - 1, 0, 0),
        )
        names, numbers = self._least_widths()
        spare = width - sum([*names, *numbers]) - gap * (len(names) + len(numbers) - 1) - 2
        for column, (name, least) in enumerate(zip(self.names, names, strict=True)):
            words = [word for row in self.rows for word in row[column].split()]
            more = max(map(len, words), default=0) - least
            if 0 < more <= spare:  # the numbers leave room for names that are not folded
                least, spare = least + more, spare - more
            drawn.add_column(name, overflow="fold", min_width=least)
        for name, least in zip(self.numbers, numbers, strict=True):
            drawn.add_column(name, justify="right", min_width=least)
        last = ""
        for group, *rest in self.rows:
            if last and group != last:
                drawn.add_section()
            drawn.add_row(*map(Text, ("" if group == last else group, *rest)))
            last = group
        out = io.StringIO()
        console = Console(
            file=out, width=width, force_terminal=False, color_system=None, legacy_windows=False
        )
        console.print(drawn, markup=False)
        for note in self.notes:
            console.print(f"* {note}", markup=False, highlight=False)
        return out.getvalue().splitlines()

    def _list(self, width: int) -> list[str]:
        out = [*_wrapped(self.title, width), ""]
        last = ""
        for group, name, *numbers in self.rows:
            if group != last:
                out += ([""] if last else []) + _wrapped(group, width)
            out += _wrapped(name, width, "  ")
            for head, number in zip(self.numbers, numbers, strict=True):
                if number:
                    out += _wrapped(f"{head}: {number}", width, _INDENT)
            last = group
        out.append("")
        for note in self.notes:
            out += _wrapped(f"* {note}", width)
        return out


def terminal_width() -> int | None:
    """Columns of the terminal, or of COLUMNS; None where the output goes into a file or pipe."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, max(width, len(indent) + 8), initial_indent=indent, subsequent_indent=indent + "  "
    ) or [""]
