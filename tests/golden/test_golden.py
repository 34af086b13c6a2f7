"""Artifacts are found by REVISION and settings: a changed result must not be taken for an earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import pins
from tests.golden.small_runs import RUNS


def check(name: str, folder: Path) -> None:
    run, revision = RUNS[name]
    pin = pins.read(name)
    found = list(pins.differences(pin["result"], pins.as_stored(run(folder))))
    again = f"python -m tests.golden --write {name}"
    if pin["revision"] != revision:
        pytest.fail(f"{pin['revision']} is pinned, the code says {revision}; run {again}")
    if found:
        more = [f"and {len(found) - 9} more"] if len(found) > 9 else []
        pytest.fail(
            "\n".join(
                [
                    f"the result of {name} has changed under the same revision ({revision}): raise it in "
                    f"pipeline/artifacts/steps.py, then run {again}",
                    *found[:9],
                    *more,
                ]
            ),
            pytrace=False,
        )


@pytest.mark.parametrize("name", RUNS)
def test_a_changed_result_needs_a_higher_revision(name: str, tmp_path: Path) -> None:
    check(name, tmp_path)


def test_differences_are_reported_by_their_place() -> None:
    pinned = {"a": [1, {"b": "x"}], "f": 1.0, "g, about": 1.0, "n": None, "gone": 1}
    result = {"a": [1, {"b": "y"}], "f": 1.0002, "g, about": 1.05, "n": 0, "new": 1}
    assert list(pins.differences(pinned, result)) == [
        "a.1.b: 'x' is pinned, the result is 'y'",
        "gone is pinned, but not in the result",
        "n: None is pinned, the result is 0",
        "new is in the result, but not pinned",
    ]
    assert list(pins.differences({"f": 1.0}, {"f": 1.01})) == ["f: 1.0 is pinned, the result is 1.01"]
    assert list(pins.differences([1], [1, 2])) == ["the result: 1 entries are pinned, the result has 2"]
    assert list(pins.differences([1], [True])), "True is not the number 1"
