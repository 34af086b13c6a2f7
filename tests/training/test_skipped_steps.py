"""A step whose gradient is not finite changes nothing, is told, and may not happen often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_corpus import stage

from pipeline.artifacts.checkpoint import start_config
from pipeline.errors import UserError
from pipeline.plan.presets import model_config
from pipeline.storage.location import Location
from training.loop import train as loop
from training.loop.callback import Callbacks, StepOutcome
from training.loop.reporter import LocalReporter

SPOILT = 1  # of the steps


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> list[StepOutcome]:
    """The outcomes of all steps. The gradient of the second one is not a number, its loss is."""
    outcomes: list[StepOutcome] = []
    losses, step = loop.compute_losses, Callbacks.step

    def compute(*arguments: Any) -> dict[str, torch.Tensor]:
        by_name = losses(*arguments)
        if len(outcomes) == SPOILT:
            by_name["total"].register_hook(lambda gradient: gradient * float("nan"))
        return by_name

    def record(self: Callbacks, outcome: StepOutcome) -> None:
        outcomes.append(outcome)
        step(self, outcome)

    monkeypatch.setattr(loop, "compute_losses", compute)
    monkeypatch.setattr(Callbacks, "step", record)
    return outcomes


def train(prepared: Location, start: Location, folder: Path, steps: int, **layout: object) -> LocalReporter:
    config = stage(steps=steps, layout=layout)
    job = loop.Job(
        stage=config,
        model=start_config(start, model_config("toy"), "one"),
        seed=7,
        data=prepared,
        start=start,
        out=Location.parse(folder / "out"),
    )
    reporter = LocalReporter(folder / "states")
    loop.train(job, reporter)
    return reporter


def test_a_step_whose_gradient_is_not_finite_is_skipped_and_told(
    prepared: Location,
    start: Location,
    tmp_path: Path,
    spoilt: list[StepOutcome],
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = train(prepared, start, tmp_path, 3)
    assert [outcome.skipped for outcome in spoilt] == [False, True, False]
    assert [reporter.rows[step]["skipped_steps"] for step in range(3)] == [0, 1, 1]
    assert "stage one, step 1: the gradient is not finite, so the weights stay" in capsys.readouterr().out
    assert all(torch.isfinite(torch.tensor(reporter.rows[step]["loss/total"])) for step in range(3))


def test_too_many_skipped_steps_end_the_stage(
    prepared: Location, start: Location, tmp_path: Path, spoilt: list[StepOutcome]
) -> None:
    with pytest.raises(UserError, match="1 steps were skipped because their gradient was not finite"):
        train(prepared, start, tmp_path, 3, max_skipped_steps=0)
    assert len(spoilt) == 2
