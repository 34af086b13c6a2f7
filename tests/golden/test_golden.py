"""Artifacts are found by REVISION and settings: a changed result must not pass for an earlier one."""

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
def test_another_result_needs_another_revision(name: str, tmp_path: Path) -> None:
    check(name, tmp_path)


def test_differences_are_reported_by_their_place() -> None:
    pinned = {"a": [1, {"b": "x"}], "f": 1.0, "g, about": 1.0, "n": None, "gone": 1}
    made = {"a": [1, {"b": "y"}], "f": 1.0002, "g, about": 1.05, "n": 0, "new": 1}
    assert list(pins.differences(pinned, made)) == [
        "a.1.b: 'x' is pinned, 'y' was made",
        "gone is pinned, and was not made",
        "n: None is pinned, 0 was made",
        "new was made, and is not pinned",
    ]
    assert list(pins.differences({"f": 1.0}, {"f": 1.01})) == ["f: 1.0 is pinned, 1.01 was made"]
    assert list(pins.differences([1], [1, 2])) == ["the result: 1 are pinned, 2 were made"]
    assert list(pins.differences([1], [True])), "true is not a number"
