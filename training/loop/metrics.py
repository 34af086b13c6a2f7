"""The row of every step on its way to MLflow: worker 0 reports it to the driver."""

from __future__ import annotations

from training.loop.callback import Callback, StageRun, StepOutcome
from training.loop.reporter import Reporter


class Metrics(Callback):
    """Comes last, because it reports what all the others put into the row."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Sends without waiting."""
        if run.rank == 0:
            self._reporter.row(outcome.step, outcome.row)
