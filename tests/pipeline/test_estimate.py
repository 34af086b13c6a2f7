"""What `ufvideo check` says a stage will need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.estimated import Given, estimate_lines
from pipeline.estimate.alternatives import changes_that_fit
from pipeline.estimate.length import epoch_visits
from pipeline.estimate.memory import GIB, memory
from pipeline.estimate.parameters import part_sizes
from pipeline.plan.load import load_plan_file
from pipeline.plan.parts import PUBLISHED_TRAINED, Part
from pipeline.plan.plan import Plan
from pipeline.plan.presets import model_config
from pipeline.plan.training import MixtureEntry
from training.data.mixture import Mixture, SourceRows

PLANS = Path(__file__).resolve().parents[2] / "plans"


def _plan(name: str, *changes: str) -> Plan:
    return load_plan_file(str(PLANS / name), list(changes)).plan


def test_a_trained_parameter_costs_sixteen_bytes_and_a_frozen_one_two() -> None:
    """The ZeRO paper's 2 + 2 + 12, of which ZeRO-2 divides the 12 by the workers."""
    config = model_config("7b")
    sizes = part_sizes(config)
    assert sizes[Part.LANGUAGE].parameters == 7_615_616_512  # as Qwen2-7B is published
    trained = sum(sizes[part].parameters for part in PUBLISHED_TRAINED)
    every = sum(size.parameters for size in sizes.values())
    for workers, shared in ((1, 12), (4, 3)):
        stage = _plan("stage1.yaml", f"stages.0.layout.workers={workers}").stages[0]
        need = memory(config, stage)
        expected = (2 * every, 2 * trained, shared * trained)
        assert (need.weights, need.gradients, need.optimizer) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gpu_gb", [80, 40])
def test_changes_that_are_offered_fit_and_none_contains_another(gpu_gb: int) -> None:
    config, stage = model_config("7b"), _plan("stage1.yaml", "stages.0.layout.workers=4").stages[0]
    limit = gpu_gb * GIB
    assert memory(config, stage).peak > limit
    changes = changes_that_fit(config, stage, limit)
    assert changes
    for change in changes:
        assert change.peak <= limit
        typed = [f"stages.0.{key}={_typed(value)}" for key, value in change.values.items()]
        changed = _plan("stage1.yaml", "stages.0.layout.workers=4", *typed).stages[0]
        assert memory(config, changed).peak == change.peak
        others = [other for other in changes if other is not change]
        assert not any(change.values.items() >= other.values.items() for other in others)


def _typed(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(Part, value))}]"
    return str(value) if isinstance(value, int) else "{}"


def test_the_lines_of_a_plan() -> None:
    """GPUs are estimated always; CPUs only for one who asks. The command that is offered is whole."""
    assert not list(estimate_lines(_plan("demo.yaml"), Given(), None))
    table = "\n".join(estimate_lines(_plan("stage1.yaml"), Given(), None))
    assert "fit" not in table
    assert "a saved state 112.4 GB, with keep 4 up to 561.9 GB" in table
    one = _plan("stage1.yaml", "stages.0.layout.workers=1")
    text = "\n".join(estimate_lines(one, Given(gpu_gb=80, samples_per_s=2.5), None))
    assert "stage1: does NOT fit into 80 GB" in text
    assert "    --set 'stages.0.lora={}'" in text
    assert "100,000 samples take 11.1 h at 2.5 samples/s" in text
    short = _plan("demo.yaml", "stages.0.steps=300", "stages.0.global_batch=16")
    asked = "\n".join(estimate_lines(short, Given(samples_per_s=4, gpu_hour=3), None))
    assert (
        "stage1: time at 4 samples/s: 300 steps, 4,800 samples, 0.3 h, 0.7 worker hours, which cost 2."
        in asked
    )


@pytest.mark.parametrize(
    "mixture",
    [
        {},
        {"a": {"repeat": 2.5}, "c": {"cap": 3, "repeat": 0.4}},
        {"a": {"weight": 3}, "b": {"weight": 1, "cap": 4}},
    ],
)
def test_an_epoch_is_as_long_as_the_one_that_is_trained(mixture: dict[str, dict[str, float]]) -> None:
    entries = {name: MixtureEntry.model_validate(entry) for name, entry in mixture.items()}
    samples = {"a": 7, "b": 10, "c": 5}
    rows = [SourceRows(name=n, hashes=np.arange(c, dtype=np.uint64)) for n, c in samples.items()]
    realised = Mixture.of(rows, entries, seed=1).counts(0)
    assert epoch_visits(entries, samples) == sum(count.realised for count in realised)
