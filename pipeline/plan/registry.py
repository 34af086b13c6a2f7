"""Tables with one file per row: formats and benchmarks, our own and those of other packages.

A row of our own is a module's top-level constant in one folder of a step; the folder is the list. A row of
another package is an entry point with the row's name. ``pipeline`` does not import the steps: it loads the
rows that a plan names.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Generic, TypeVar


@dataclass(frozen=True, kw_only=True, eq=False)
class RegistryRow:
    """What every row has: its name in plans, and a description of one line."""

    name: str
    about: str


R = TypeVar("R", bound=RegistryRow)


@dataclass(frozen=True)
class Registry(Generic[R]):
    """Rows by name. ``what`` is what a row is called in errors: ``annotation format``."""

    what: str
    row: type[R]
    home: str  # package whose modules hold our own rows
    group: str  # of entry points

    def __getitem__(self, name: str) -> R:
        """The row of a name. Raises ValueError for an unknown one; users see its text as it is."""
        own, foreign = _own_row(self, name), _foreign(self.group).get(name)
        if own is not None and foreign is not None:
            raise ValueError(
                f"the package {_package(foreign)} registers the {self.what} {name}, which is one of this "
                "platform's own; uninstall it, or rename its entry point"
            )
        if own is not None:
            return own
        if foreign is not None:
            return self._loaded(foreign)
        raise ValueError(self._unknown(name))

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self.own(), *_foreign(self.group)})

    def own(self) -> dict[str, R]:
        """Every row of this platform, by name."""
        home = importlib.import_module(self.home)
        found: dict[str, R] = {}
        for module in sorted(m.name for m in pkgutil.iter_modules(home.__path__)):
            for row in self._rows_of(importlib.import_module(f"{self.home}.{module}")):
                if found.setdefault(row.name, row) is not row:
                    raise ValueError(f"two rows are called {row.name}; one is in {self.home}.{module}")
        return dict(sorted(found.items()))

    def _rows_of(self, module: ModuleType) -> Iterator[R]:
        yield from (value for value in vars(module).values() if isinstance(value, self.row))

    def _loaded(self, entry: EntryPoint) -> R:
        where = f"the entry point {entry.name} = {entry.value} of the package {_package(entry)}"
        try:
            row = entry.load()
        except Exception as error:
            raise ValueError(f"{where} cannot be loaded ({type(error).__name__}: {error})") from error
        if not isinstance(row, self.row) or row.name != entry.name:
            raise ValueError(f"{where} does not name the {self.what} {entry.name}; correct the package")
        return row

    def _unknown(self, name: str) -> str:
        names = self.names()
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}."
        return f"unknown {self.what} {name}. {hint}"


@cache
def _own_row(registry: Registry[R], name: str) -> R | None:
    """Cached because a source's row is asked for at every record, and folders take long to list."""
    # Most rows are in a module of their name, so no other has to be imported.
    home = importlib.import_module(registry.home)
    if name.isidentifier() and name in {m.name for m in pkgutil.iter_modules(home.__path__)}:
        for row in registry._rows_of(importlib.import_module(f"{registry.home}.{name}")):
            if row.name == name:
                return row
    return registry.own().get(name)


@cache
def _foreign(group: str) -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value.partition(".")[0]
