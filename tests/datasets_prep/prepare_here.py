"""Preparation without Ray: every piece of its work is done in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from datasets_prep import run


def prepare_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do in this process what Ray would do. The results are the same."""

    def here(
        title: str, pieces: Sequence[Any], work: Callable[[Any], pa.Table], total: int | None = None
    ) -> Iterator[pa.Table]:
        return map(work, pieces)

    monkeypatch.setattr(run, "spread", here)
    monkeypatch.setattr(run, "each", here)
    monkeypatch.setattr(run, "share", lambda value, make: lambda: make(value))
