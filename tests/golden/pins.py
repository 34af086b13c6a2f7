"""Pinned results: what a step made of a small input, and the REVISION of the step that made it.

Whole numbers, texts and digests are compared exactly. Floats are compared to ``RELATIVE``: another processor
rounds otherwise, but whoever changes an initial scale, a loss or a schedule changes more than that. Below a
key that ends in "about" they are compared to ``ABOUT``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "pins"
RELATIVE: Final = 5e-4
ABOUT: Final = 0.1
ABSOLUTE: Final = 1e-5


def read(name: str) -> dict[str, Any]:
    """The pin of a name: ``revision`` and ``result``."""
    pin: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return pin


def write(name: str, revision: Mapping[str, int], result: Any) -> None:
    """Pin a result."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps({"revision": dict(revision), "result": result}, indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n")


def differences(pinned: Any, made: Any, where: str = "") -> Iterator[str]:
    """Where two results differ, one line each: ``stage.losses.0: 7.1 is pinned, 7.3 was made``."""
    here = where or "the result"
    if isinstance(pinned, dict) and isinstance(made, dict):
        for key in sorted({*pinned, *made}):
            place = f"{where}.{key}" if where else str(key)
            if key not in made:
                yield f"{place} is pinned, and was not made"
            elif key not in pinned:
                yield f"{place} was made, and is not pinned"
            else:
                yield from differences(pinned[key], made[key], place)
    elif isinstance(pinned, list) and isinstance(made, list):
        if len(pinned) != len(made):
            yield f"{here}: {len(pinned)} are pinned, {len(made)} were made"
        for index, (one, other) in enumerate(zip(pinned, made, strict=False)):
            yield from differences(one, other, f"{where}.{index}" if where else str(index))
    elif isinstance(pinned, float) and isinstance(made, float):
        share = ABOUT if "about" in where else RELATIVE
        if abs(pinned - made) > ABSOLUTE + share * max(abs(pinned), abs(made)):
            yield f"{here}: {pinned!r} is pinned, {made!r} was made"
    elif pinned != made or type(pinned) is not type(made):
        yield f"{here}: {pinned!r} is pinned, {made!r} was made"


def as_stored(result: Any) -> Any:
    """A result as reading its pin gives it."""
    return json.loads(json.dumps(result, ensure_ascii=False))
