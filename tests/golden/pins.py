"""Pinned results of the steps on small inputs, with the REVISION of each step.

Whole numbers, texts and digests are compared exactly. Floats are compared to ``RELATIVE``: another processor
rounds differently, but a changed initial scale, loss or schedule changes results by more. Below a key that
ends in "about" they are compared to ``ABOUT``.
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


def differences(pinned: Any, result: Any, where: str = "") -> Iterator[str]:
    """Where two results differ, one line each: ``stage.losses.0: 7.1 is pinned, the result is 7.3``."""
    here = where or "the result"
    if isinstance(pinned, dict) and isinstance(result, dict):
        for key in sorted({*pinned, *result}):
            place = f"{where}.{key}" if where else str(key)
            if key not in result:
                yield f"{place} is pinned, but not in the result"
            elif key not in pinned:
                yield f"{place} is in the result, but not pinned"
            else:
                yield from differences(pinned[key], result[key], place)
    elif isinstance(pinned, list) and isinstance(result, list):
        if len(pinned) != len(result):
            yield f"{here}: {len(pinned)} entries are pinned, the result has {len(result)}"
        for index, (one, other) in enumerate(zip(pinned, result, strict=False)):
            yield from differences(one, other, f"{where}.{index}" if where else str(index))
    elif isinstance(pinned, float) and isinstance(result, float):
        share = ABOUT if "about" in where else RELATIVE
        if abs(pinned - result) > ABSOLUTE + share * max(abs(pinned), abs(result)):
            yield f"{here}: {pinned!r} is pinned, the result is {result!r}"
    elif pinned != result or type(pinned) is not type(result):
        yield f"{here}: {pinned!r} is pinned, the result is {result!r}"


def as_stored(result: Any) -> Any:
    """A result as reading its pin gives it."""
    return json.loads(json.dumps(result, ensure_ascii=False))
