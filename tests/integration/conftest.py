"""Fixtures of the tests that run the whole project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.mini import write_mini


@pytest.fixture
def mini_plan(tmp_path: Path) -> Path:
    """The mini plan with storage in a folder beside it."""
    return write_mini(tmp_path, str(tmp_path / "store"))
