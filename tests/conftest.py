"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def shared_dir() -> Path:
    """Where golden numbers and real annotation samples lie, when this checkout has them."""
    return Path(os.environ.get("UFVIDEO_SHARED", REPO.parent / "shared"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of golden cases; the test is skipped where it is missing."""
    path = shared_dir() / "golden"
    if not path.is_dir():
        pytest.skip(f"no golden cases at {path}; set UFVIDEO_SHARED to the folder that holds golden/")
    return path


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of real annotation samples; the test is skipped where it is missing."""
    path = shared_dir() / "realdata"
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; set UFVIDEO_SHARED to the folder that holds realdata/")
    return path
