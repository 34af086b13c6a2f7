"""The metrics of every step: worker 0 reports them to the driver, and keeps them with every saved state."""

from __future__ import annotations

import time
from pathlib import Path

from pipeline.artifacts.curves import CURVES, CurveRow, read_curves, write_curves
from pipeline.storage.location import Location
from training.loop.callback import Callback, StageRun, StepOutcome
from training.loop.reporter import Reporter


class Metrics(Callback):
    """Comes after the plan's callbacks, because it reports the row that they have filled in.

    A row that was on its way to MLflow when the driver died is reported again from the saved state.
    """

    def __init__(self, reporter: Reporter, out: Location) -> None:
        self._reporter, self._out = reporter, out
        self._rows: list[CurveRow] = []

    def on_start(self, run: StageRun, state: Path | None) -> None:
        """Report the rows before the saved state again: the driver leaves out those that MLflow has."""
        place = None if state is None or run.rank else Location.parse(state / CURVES)
        if place is not None and place.exists():  # states of older versions have none
            self._rows = [row for row in read_curves(place) if row.step < run.first_step]
            self._reporter.earlier_rows(self._rows)

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Sends without waiting."""
        if run.rank == 0:
            self._rows.append(CurveRow(outcome.step, time.time(), dict(outcome.row)))
            self._reporter.row(self._rows[-1])

    def on_save(self, run: StageRun, step: int, folder: Path) -> None:
        """All rows so far: 4,000 steps take about 0.5 MB."""
        if run.rank == 0:
            write_curves(Location.parse(folder / CURVES), self._rows)

    def on_end(self, run: StageRun) -> None:
        """All rows, beside the weights."""
        if run.rank == 0:
            write_curves(self._out / CURVES, self._rows)
