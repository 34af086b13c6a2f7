"""Callbacks that a stage names. To add one: a file here with one subclass of ``Callback``, called as it is.

A package of your own adds one as an entry point of the group ``ufvideo.callbacks``,
``name = "module:Class"``; it has to be installed on every machine of the cluster.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from pipeline.errors import UserError
from training.loop.callback import Callback

GROUP = "ufvideo.callbacks"


def available() -> dict[str, str]:
    """Where each callback is, ``module`` here or ``module:Class`` of another package, by name.

    Raises UserError for a name that is there twice.
    """
    here = {found.name: f"{__name__}.{found.name}" for found in iter_modules(__path__)}
    for point in entry_points(group=GROUP):
        if here.setdefault(point.name, point.value) != point.value:
            raise UserError(
                f"callback {point.name}",
                f"is there twice: {here[point.name]} and {point.value}.",
                "Rename one of them.",
            )
    return here


def load_callbacks(stage: str, names: Sequence[str]) -> list[Callback]:
    """New callbacks of these names. Raises UserError for a name that is not there and for a broken module."""
    return [_make(f"stage {stage}: callbacks", name, available()) for name in names]


def _make(where: str, name: str, places: dict[str, str]) -> Callback:
    if name not in places:
        near = get_close_matches(name, places, 1)
        raise UserError(
            where,
            f"{name} is not a callback.{f' Did you mean {near[0]}?' if near else ''}",
            f"There are {', '.join(sorted(places)) or 'none'}.",
        )
    module, _, attribute = places[name].partition(":")
    try:
        loaded = import_module(module)
        made = (getattr(loaded, attribute) if attribute else _only_class(loaded))()
    except Exception as error:
        raise UserError(
            where,
            f"{name} ({places[name]}) cannot be made: {type(error).__name__}: {error}.",
            "Correct it, or remove it from the stage's callbacks.",
        ) from error
    if not isinstance(made, Callback):
        raise UserError(where, f"{name} ({places[name]}) is not a Callback.", "Make it a subclass.")
    made.name = name
    return made


def _only_class(module: object) -> type[Callback]:
    found = [
        item
        for _, item in inspect.getmembers(module, inspect.isclass)
        if issubclass(item, Callback) and item.__module__ == getattr(module, "__name__", "")
    ]
    if len(found) != 1:
        raise TypeError(f"the module has to hold one subclass of Callback, not {len(found)}")
    return found[0]
