"""Optimizer steps that DeepSpeed skips because a gradient is not finite."""

from __future__ import annotations

from pipeline.errors import UserError
from training.loop.callback import Callback, StageRun, StepOutcome
from training.loop.reporter import Reporter


class SkippedSteps(Callback):
    """Tells each of them, and ends the stage past the layout's ``max_skipped_steps``.

    A skipped step leaves weights and moments as they are; its samples are not used again. The count is part
    of DeepSpeed's state, so it goes on in a stage that resumes.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_step(self, run: StageRun, outcome: StepOutcome) -> None:
        """Every worker has the same count, since all skip the same steps."""
        outcome.row["skipped_steps"] = float(outcome.skipped_steps)
        skipped, most = outcome.skipped_steps, run.stage.layout.max_skipped_steps
        if not outcome.skipped:
            return
        if run.rank == 0:
            self._reporter.note(
                f"stage {run.stage.name}, step {outcome.step}: the gradient is not finite, so the weights "
                f"stay as they are ({skipped} such steps so far, at most {most})"
            )
        if skipped > most:
            raise UserError(
                f"stage {run.stage.name}, step {outcome.step}",
                f"{skipped} steps were skipped because their gradient was not finite.",
                "Lower optimizer.lr, look at the samples of these steps, or raise layout.max_skipped_steps.",
            )
