"""Callbacks of a stage: their hooks, and when each is called. Every worker runs them in the same order.

Saved states, throughput and metrics are callbacks, too; a plan adds more by name
(``stages[].callbacks``, see ``training.callbacks``).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline.errors import UserError
from pipeline.plan.training import StageConfig
from training.loop.step_sums import StepSums
from training.model.ufvideo import UFVideo

_T = TypeVar("_T")
_METRIC = re.compile(r"[\w\-. /]+")  # as MLflow requires


@dataclass(kw_only=True)
class StageRun:
    """One worker's run of a stage, for callbacks: read-only."""

    stage: StageConfig
    model: UFVideo
    """With its current weights; under ZeRO-3 most of them are on other workers."""
    rank: int
    """Of this worker, from 0."""
    world: int
    """Number of workers."""
    total_steps: int
    first_step: int = 0
    """Above 0 if the run resumes from a saved state."""


@dataclass(kw_only=True)
class StepOutcome:
    """One optimizer step, once the weights are updated."""

    step: int
    """Number of the step, from 0."""
    sums: StepSums
    """Sums over this worker's forward passes of the step."""
    lr: float
    grad_norm: float
    skipped: bool = False
    """True if the weights stayed as they are, because the gradient was not finite."""
    skipped_steps: int = 0
    """Steps of the stage so far that were skipped."""
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    """Rows of the quarantine table: visits of this worker whose samples were replaced."""
    row: dict[str, float] = field(default_factory=dict)
    """Metrics of the step, over all workers, by their MLflow names. ``Throughput`` fills them in first."""


class Callback:
    """Hooks at the start, after steps, at saved states and at the end. Override what you need.

    Every worker calls the same hooks at the same steps, so collectives are allowed. A plan's callback must
    not change model, optimizer or arguments, because it is not part of the stage's identity. It runs without
    gradients and with a random state of its own. An error in it ends the stage and names it.
    """

    name = ""
    """The name in plans, set when it is loaded; empty for the callbacks that every stage has."""

    def on_start(self, run: StageRun, state: Path | None) -> None:
        """Before the first step. ``state``: the folder of the saved state that the run resumes from."""

    def on_step(self, run: StageRun, outcome: StepOutcome) -> Mapping[str, float] | None:
        """After each step. Numbers returned go to MLflow as ``<name>/<key>``; those of worker 0 count."""

    def on_save(self, run: StageRun, step: int, folder: Path) -> None:
        """While a state is saved, after ``step`` steps. ``folder`` is this worker's and contains its state.

        The folders of all workers are merged, so name a file after the callback and the rank. It is available
        in ``on_start``.
        """

    def on_end(self, run: StageRun) -> None:
        """After the last step, when the weights have been written."""


class Callbacks:
    """All callbacks of one worker, called in order."""

    def __init__(self, run: StageRun, callbacks: Sequence[Callback]) -> None:
        self._run, self._callbacks = run, callbacks

    def start(self, state: Path | None) -> None:
        """Call every ``on_start``."""
        for callback in self._callbacks:
            self._call(callback, "on_start", partial(callback.on_start, self._run, state))

    def step(self, outcome: StepOutcome) -> None:
        """Call every ``on_step``; the numbers that they return are added to the step's row."""
        for callback in self._callbacks:
            outcome.row |= self._call(callback, "on_step", partial(self._numbers, callback, outcome))

    def save(self, step: int, folder: Path) -> None:
        """Call every ``on_save``."""
        for callback in self._callbacks:
            self._call(callback, "on_save", partial(callback.on_save, self._run, step, folder))

    def end(self) -> None:
        """Call every ``on_end``."""
        for callback in self._callbacks:
            self._call(callback, "on_end", partial(callback.on_end, self._run))

    def _numbers(self, callback: Callback, outcome: StepOutcome) -> dict[str, float]:
        returned = callback.on_step(self._run, outcome) or {}
        numbers = {f"{callback.name}/{key}": float(value) for key, value in returned.items()}
        if bad := next((name for name in numbers if not _METRIC.fullmatch(name)), None):
            raise ValueError(f"{bad!r} cannot be a metric's name: letters, digits, spaces and _ - . / only")
        return numbers

    def _call(self, callback: Callback, hook: str, call: Callable[[], _T]) -> _T:
        if not callback.name:
            return call()
        devices = [torch.cuda.current_device()] if self._run.stage.layout.use_gpu else []
        try:
            with torch.no_grad(), torch.random.fork_rng(devices):
                return call()
        except Exception as error:
            traceback.print_exc()  # for its author; the stage ends with the error below
            raise UserError(
                f"stage {self._run.stage.name}: callbacks",
                f"{callback.name} failed in {hook}: {type(error).__name__}: {error}.",
                "Correct it, or remove it from the stage's callbacks.",
            ) from error
