"""The end of a training, written to storage by worker 0: no death of another process loses it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.artifacts.checkpoint import MODEL
from pipeline.storage.location import Location

FINISHED: Final = "finished.json"


@dataclass(frozen=True, kw_only=True)
class StageEnd:
    """A training that has ended; with it nothing is trained again."""

    digest: str
    """Of the weights."""
    resumed_at: int
    last: dict[str, float]
    """Metrics of the last step."""
    quarantined: tuple[dict[str, Any], ...] = ()
    """Rows of the quarantine table, of all workers."""


def write_end(out: Location, end: StageEnd) -> None:
    """Write the end of a stage beside its weights, which are there."""
    (out / FINISHED).write_text(json.dumps(asdict(end)) + "\n")


def read_end(out: Location) -> StageEnd | None:
    """The end of a stage whose weights are written; None while it has not ended."""
    place = out / FINISHED
    if not place.exists() or not (out / MODEL).exists():
        return None
    found = json.loads(place.read_text())
    found.pop("unsent", None)  # of an older version, which kept rows of metrics here
    return StageEnd(**{**found, "quarantined": tuple(found.get("quarantined", ()))})
