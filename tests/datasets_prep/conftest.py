"""Fixtures of the preparation's tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.datasets_prep.prepare_here import prepare_here


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparation does its pieces of work in this process, one after the other; the results are the same."""
    prepare_here(monkeypatch)


@pytest.fixture
def doctor_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor does its pieces of work in this process, one after the other; the results are the same."""
    from tests.datasets_prep.doctor_here import do_without_ray

    do_without_ray(monkeypatch)


@pytest.fixture(scope="session")
def ill(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Sources with one of every defect that the doctor looks for."""
    from tests.datasets_prep.ill_corpus import write_ill_corpus

    return write_ill_corpus(tmp_path_factory.mktemp("ill"))
