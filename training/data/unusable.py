"""How many samples a worker may find unusable before the stage stops: together, and for single sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.errors import UserError

FREE_FAILURES: Final = 16
MAX_FAILURE_SHARE: Final = 0.02
"""A stage stops if a worker has more than FREE_FAILURES failures, in more than this share of its visits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedVisit:
    """A visit whose sample could not be used, and the sample that replaced it."""

    source: str
    key: str
    epoch: int
    reason: str
    substitute: str

    def row(self) -> dict[str, Any]:
        """As a row of the quarantine table."""
        return asdict(self)


class Budget:
    """The limits of one worker. ``shares``: of single sources, by name; all others have one budget together.

    A share is of the visits so far, and the first FREE_FAILURES are free, except with a share of 0: there the
    first one stops the stage.
    """

    def __init__(self, worker: int, shares: Mapping[str, float]) -> None:
        self._worker, self._shares = worker, dict(shares)
        self._visits, self._failures = Counter[str](), Counter[str]()

    def count(self, visited: Iterable[str], failed: Iterable[QuarantinedVisit]) -> None:
        """Add visits, by the names of their sources, and failures. Raises UserError past a limit."""
        self._visits.update(map(self._name, visited))
        for one in failed:
            name = self._name(one.source)
            self._failures[name] += 1
            share = self._shares.get(name, MAX_FAILURE_SHARE)
            free = FREE_FAILURES if share else 0
            if self._failures[name] > max(free, share * self._visits[name]):
                of = f"samples of {name}" if name else "samples"
                key = "max_unusable" if name else "max_text_tokens"
                raise UserError(
                    f"training data, worker {self._worker}",
                    f"{self._failures[name]} of {self._visits[name]} {of} could not be used, the last one "
                    f"{one.key}: {one.reason}.",
                    f"Prepare the data again if its videos have changed, or raise {key}.",
                )

    def _name(self, source: str) -> str:
        """The budget to which a source belongs."""
        return source if source in self._shares else ""


def by_source(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The quarantine table in numbers: substituted visits, distinct samples and reasons of each source."""
    out: dict[str, dict[str, Any]] = {}
    keys: dict[str, set[str]] = {}
    for row in rows:
        one = out.setdefault(row["source"], {"visits": 0, "samples": 0, "reasons": {}})
        kind = str(row["reason"]).partition(":")[0]
        one["visits"] += 1
        one["reasons"][kind] = one["reasons"].get(kind, 0) + 1
        keys.setdefault(row["source"], set()).add(row["key"])
        one["samples"] = len(keys[row["source"]])
    return out
