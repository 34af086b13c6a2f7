"""The quarantine table of a worker, and the end of the stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipeline.storage.location import Location
from training.loop.callback import Callback, StageRun, StepOutcome
from training.loop.reporter import Reporter
from training.stage.gathered import of_all_workers
from training.stage.stage_end import StageEnd, write_end

_ROWS: Final = "quarantine-{rank}.json"


class Quarantine(Callback):
    """Reports visits whose samples were replaced, and keeps them with every saved state.

    What is reported may be lost on its way; ``rows`` is not. A state of other workers is shared out.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.rows: list[dict[str, Any]] = []

    def on_start(self, run: StageRun, state: Path | None) -> None:
        """Take over this worker's share of the rows of a saved state, and report them again."""
        files = [] if state is None else sorted(state.glob(_ROWS.format(rank="*")))
        for number, file in enumerate(files):
            if number % run.world == run.rank:
                self.rows += json.loads(file.read_text())
        if self.rows:
            self._reporter.quarantine(list(self.rows))

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Report those of the step."""
        if outcome.quarantined:
            self.rows += outcome.quarantined
            self._reporter.quarantine(outcome.quarantined)

    def on_save(self, run: StageRun, step: int, folder: Path) -> None:
        """All rows of this worker so far."""
        (folder / _ROWS.format(rank=run.rank)).write_text(json.dumps(self.rows) + "\n")


class Ending(Callback):
    """Comes last: worker 0 writes that the stage has ended, once everything else is written."""

    def __init__(self, out: Location, quarantine: Quarantine, digest: Callable[[], str]) -> None:
        self._out, self._quarantine, self._digest = out, quarantine, digest
        self._last: dict[str, float] = {}

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Keep the metrics of the last step."""
        self._last = dict(outcome.row)

    def on_end(self, run: StageRun) -> None:
        """With the quarantined visits of all workers."""
        rows = tuple(row for own in of_all_workers(self._quarantine.rows) for row in own)
        if run.rank == 0:
            end = StageEnd(
                digest=self._digest(), resumed_at=run.first_step, last=self._last, quarantined=rows
            )
            write_end(self._out, end)
