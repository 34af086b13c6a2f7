"""The table of UFVideo's own rules in docs/evaluation.md names a test for each."""

from __future__ import annotations

import re

from tests.conftest import REPO


def test_every_rule_has_a_test_that_exists():
    text = (REPO / "docs/evaluation.md").read_text()
    table = text.split("## UFVideo's own rules")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 10
    for row in rows:
        (named,) = re.findall(r"`(test_\w+)::(test_\w+)`", row)
        module, name = named
        file = REPO / "tests/evaluation" / f"{module}.py"
        assert file.is_file(), row
        assert f"def {name}(" in file.read_text(), row
