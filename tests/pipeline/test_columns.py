"""Objects made from columns are those that their constructor makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.columns import from_columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    name: str
    number: int = 3
    notes: dict[str, int] = field(default_factory=dict)


def test_objects_equal_those_of_the_constructor_and_share_no_default() -> None:
    made = from_columns(Row, 2, name=["a", "b"], number=[1, 2])
    assert made == [Row(name="a", number=1), Row(name="b", number=2)]
    assert from_columns(Row, 2, name=["a", "b"])[1].number == 3
    assert made[0].notes is not made[1].notes
    assert from_columns(Row, 0, name=[]) == []


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"name": ["a"]}, ValueError),
        ({"name": ["a", "b"], "number": [1, 2, 3]}, ValueError),
        ({"name": ["a", "b"], "nmber": [1, 2]}, TypeError),
        ({"number": [1, 2]}, TypeError),
    ],
)
def test_a_column_that_does_not_fit_is_refused(columns: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        from_columns(Row, 2, **columns)
