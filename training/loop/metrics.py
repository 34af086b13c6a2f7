"""Sends the metrics of every step to MLflow: worker 0 reports them to the driver."""

from __future__ import annotations

from training.loop.callback import Callback, StageRun, StepOutcome
from training.loop.reporter import Reporter


class Metrics(Callback):
    """Comes last, because it reports the row that all other callbacks have filled in."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Sends without waiting."""
        if run.rank == 0:
            self._reporter.row(outcome.step, outcome.row)
