"""What every worker knows, for all of them."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

_T = TypeVar("_T")


def of_all_workers(value: _T) -> list[_T]:
    """The values of all workers, by rank. Every worker calls it; values are pickled."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return [value]
    values = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
