"""Keeps pandas out of processes that do not use it: PyArrow and MLflow import it, in half a second."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used in this process", name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Inside, pandas counts as not installed, unless it is imported already."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def let_arrow_do_without() -> None:
    """Have PyArrow do its one look for pandas now, and find none.

    It looks before its first conversion, to recognise pandas' types in what it is given. ``to_pandas`` looks
    again, and works.
    """
    import pyarrow

    with without_pandas():
        pyarrow.array([0])
