"""Suggestions for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: object, known: Iterable[object], what: str) -> str:
    """One sentence with the most similar known name, else with all of them. ``what``: ``Sources``."""
    names = [str(one) for one in known]
    if near := difflib.get_close_matches(str(name), names, 1, 0.5):
        return f"Did you mean {near[0]}?"
    return f"{what}: {', '.join(names)}." if names else ""
