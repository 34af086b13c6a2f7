"""A folder pushed by the hub's real client to a small hub on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.storage.hub_push import check_push, push
from tests.pipeline.pushable_hub import pushable_hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    (tmp_path / "out" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "out"


@pytest.mark.parametrize("public", [False, True])
def test_a_new_repository_is_private_unless_it_shall_be_public(folder: Path, public: bool):
    with pushable_hub() as hub:
        assert push(folder, "me/toy", public=public).startswith(f"{hub.url}/me/toy/commit/")
    assert hub.repos == {"me/toy": not public}
    assert hub.files == {"config.json": b"{}", "model.safetensors": b"weights"}
    assert hub.tokens - {None} == {"Bearer hf_secret"}


@pytest.mark.parametrize("fails", ["/repos/create", "/preupload/", "/objects/batch", "/upload/", "/commit/"])
def test_a_push_that_breaks_off_commits_nothing(folder: Path, fails: str):
    with pushable_hub() as hub:
        hub.fails = fails
        with pytest.raises(UserError) as error:
            push(folder, "me/toy")
    assert "broke off" in str(error.value)
    assert f"`hf upload me/toy {folder}`" in str(error.value)
    assert (hub.files, hub.commits) == ({}, 0)


def test_the_name_of_a_repository_is_checked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert check_push("me/toy") == check_push("hf://me/toy") == "me/toy"
    for wrong in ("toy", "me/toy@main", "a/b/c", "me/"):
        with pytest.raises(UserError):
            check_push(wrong)
