"""The files that a stage keeps beside its checkpoint until its record is written, and resuming from them.

layout.json      the inputs and workers with which the training started
run/             Ray Train's saved states
quarantine.json  the quarantine table so far
finished.json    the training's end: the weights are written, the record is not
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.artifacts.record import RECORD_NAME
from pipeline.storage.location import Location
from training.stage.checkpoint import RUN
from training.stage.stage_end import FINISHED, StageEnd, read_end

_LAYOUT: Final = "layout.json"
_QUARANTINE: Final = "quarantine.json"
_INPUTS: Final = {"data": "the prepared data", "start": "the checkpoint to start from", "steps": "its length"}


@dataclass(frozen=True, kw_only=True)
class StageStart:
    """What a saved state depends on beside the artifact's fingerprint."""

    workers: int  # a state of others has to be converted
    data: str  # digest of the prepared dataset
    start: str  # digest of the checkpoint to start from
    steps: int  # the schedule's length


class UnfinishedStage:
    """The files of one stage's attempt. Made in the driver, which alone writes them."""

    def __init__(self, out: Location, stage: str) -> None:
        self._out, self._stage = out, stage
        self._rows: dict[tuple[Any, ...], dict[str, Any]] = {}

    def open(self, begun: StageStart) -> StageEnd | None:
        """Resume an earlier attempt with the same inputs. Returns its end if it finished training.

        An attempt with other inputs is deleted, and a printed line says so. One of another number of workers
        goes on, which is told, too.
        """
        place = self._out / _LAYOUT
        before = json.loads(place.read_text()) if place.exists() else {}
        changed = [what for key, what in _INPUTS.items() if before.get(key) != getattr(begun, key)]
        if changed:
            if (self._out / RUN).exists() or (self._out / FINISHED).exists():
                print(
                    f"stage {self._stage}: begins again: {' and '.join(changed)} changed since it stopped",
                    flush=True,
                )
            for name in (FINISHED, _QUARANTINE, RUN):
                (self._out / name).delete()
        finished = read_end(self._out)
        if finished is None and (self._out / RUN).exists() and before["workers"] != begun.workers:
            print(
                f"stage {self._stage}: begun with {before['workers']} workers, goes on with {begun.workers}",
                flush=True,
            )
        place.write_text(json.dumps(asdict(begun)) + "\n")
        if (self._out / _QUARANTINE).exists():
            self._rows = {_key(r): r for r in json.loads((self._out / _QUARANTINE).read_text())}
        return finished

    def quarantine(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add to the quarantine table; a step that is done again replaces its rows."""
        rows = list(rows)
        self._rows |= {_key(row): row for row in rows}
        if rows:
            (self._out / _QUARANTINE).write_text(json.dumps(self.quarantined) + "\n")

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        """The table, by step."""
        return [self._rows[key] for key in sorted(self._rows)]

    def drop_states(self) -> None:
        """Delete the saved states, which are not needed once the stage has ended."""
        assert read_end(self._out) is not None
        (self._out / RUN).delete()

    def sweep(self) -> None:
        """Delete the rest, if the record stands. Without it ``--force`` would find a finished training."""
        if (self._out / RECORD_NAME).exists():
            for name in (FINISHED, _QUARANTINE, _LAYOUT):
                (self._out / name).delete()


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["step"], row["source"], row["key"], row["epoch"]
