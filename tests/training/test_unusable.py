"""How many unusable samples a worker may find: limits together and for single sources."""

from __future__ import annotations

import pytest
import yaml

from pipeline.errors import UserError
from pipeline.plan.load import load_plan
from tests.conftest import PLAN
from training.data.unusable import FREE_FAILURES, Budget, QuarantinedVisit, by_source


def bad(source: str, number: int = 0, reason: str = "VideoError: cut") -> QuarantinedVisit:
    return QuarantinedVisit(
        source=source, key=f"{source}/{number}", epoch=0, reason=reason, substitute=f"{source}/9"
    )


def test_sources_without_a_limit_share_one() -> None:
    budget = Budget(0, {})
    budget.count(["a"] * 10, [bad("a", n) for n in range(FREE_FAILURES // 2)])
    budget.count(["b"] * 10, [bad("b", n) for n in range(FREE_FAILURES // 2)])
    with pytest.raises(
        UserError, match=r"17 of 21 samples could not be used, the last one b/9: VideoError: cut"
    ):
        budget.count(["b"], [bad("b", 9)])
    many = Budget(0, {})
    many.count(["a"] * 1000, [bad("a", n) for n in range(20)])
    with pytest.raises(UserError, match="21 of 1000"):
        many.count([], [bad("a")])


def test_a_source_has_its_own_limit() -> None:
    budget = Budget(3, {"clean": 0, "web": 0.5})
    budget.count(["web"] * 100 + ["a"] * 10, [bad("web", n) for n in range(50)])
    budget.count(["a"], [bad("a")])
    with pytest.raises(UserError, match=r"worker 3: 51 of 100 samples of web .* or raise max_unusable"):
        budget.count([], [bad("web")])
    with pytest.raises(UserError, match="1 of 1 samples of clean could not be used, the last one clean/0"):
        budget.count(["clean"], [bad("clean")])


def test_the_table_in_numbers() -> None:
    rows = [bad("a").row(), bad("a").row(), bad("a", 1, "RefusedSample: long").row(), bad("b").row()]
    assert by_source(rows) == {
        "a": {"visits": 3, "samples": 2, "reasons": {"VideoError": 2, "RefusedSample": 1}},
        "b": {"visits": 1, "samples": 1, "reasons": {"VideoError": 1}},
    }


def test_a_limit_of_an_unknown_source_is_refused(tmp_path) -> None:
    values = yaml.safe_load(PLAN.format(root=tmp_path))
    values["stages"][0]["max_unusable"] = {"tall": 0.1}
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"max_unusable.*tall is not a training source of this plan.*talk"):
        load_plan(str(path))
