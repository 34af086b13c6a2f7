"""What somebody meant who wrote a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: object, known: Iterable[object], what: str) -> str:
    """One sentence: the nearest of the known names, else all of them. ``what`` they are: ``Sources``."""
    names = [str(one) for one in known]
    if near := difflib.get_close_matches(str(name), names, 1, 0.5):
        return f"Did you mean {near[0]}?"
    return f"{what}: {', '.join(names)}." if names else ""
