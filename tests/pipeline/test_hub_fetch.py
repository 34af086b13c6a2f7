"""Files of a model of the hub, fetched by the hub's real client from a small hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.storage import hub
from pipeline.storage.hub import HubModel, fetch, local_copy
from tests.pipeline.small_hub import COMMIT, small_hub

FILES = {
    "org/both": ["model.safetensors", "pytorch_model.bin", "other.pt", "config.json", "notes.txt"],
    "org/old": ["pytorch_model.bin", "other.pt", "config.json"],
    "org/sam2": ["sam2_hiera_large.pt", "model.safetensors", "config.json"],
    "org/sams": ["sam2_large.pt", "sam2_small.pt"],
}


@pytest.fixture
def fetched(tmp_path: Path) -> Iterator[list[str]]:
    for repo, names in FILES.items():
        for name in names:
            file = tmp_path / "hub" / repo / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{repo} {name}")
    with small_hub(tmp_path / "hub", tmp_path / "cache") as fetched:
        yield fetched


@pytest.mark.parametrize(
    ("repo", "patterns", "files"),
    [
        ("org/both", hub.WEIGHT_FILES, ["config.json", "model.safetensors"]),
        ("org/old", hub.WEIGHT_FILES, ["config.json", "pytorch_model.bin"]),
        ("org/sam2", hub.SAM2_FILES, ["sam2_hiera_large.pt"]),
        ("org/both", hub.TOKENIZER_FILES, ["config.json", "notes.txt"]),
    ],
)
def test_only_one_file_format_of_weights_is_fetched(
    fetched: list[str], repo: str, patterns: hub.FilePatterns, files: list[str]
) -> None:
    """Fails if 15 GB of .bin are fetched besides the .safetensors that are read, or a .pt that is not."""
    found = fetch(HubModel(repo), patterns)
    assert sorted(fetched) == files
    assert sorted(p.name for p in found.path.iterdir()) == files
    assert (found.path / files[-1]).read_text() == f"{repo} {files[-1]}"


def test_the_commit_of_a_revision_is_known(fetched: list[str], tmp_path: Path) -> None:
    """Fails if a run without a revision, or with a branch, cannot name the commit that it loaded."""
    for text in ("hf://org/both", "hf://org/both@main", f"hf://org/both@{COMMIT}"):
        found = local_copy(text, hub.WEIGHT_FILES)
        assert found.commit == COMMIT
        assert found.at == f" at commit {COMMIT}"
    here = local_copy(str(tmp_path), hub.WEIGHT_FILES)
    assert (here.path, here.commit, here.at) == (tmp_path, None, "")


def test_an_error_of_the_http_library_becomes_a_user_error(fetched: list[str]) -> None:
    """Fails if an error that is neither an OSError nor a ValueError is not converted."""
    with pytest.raises(UserError, match=r"^hf://broken/model: .* does not give it \(.+\)") as caught:
        fetch(HubModel("broken/model"), hub.WEIGHT_FILES)
    cause = caught.value.__cause__
    assert cause is not None
    assert not isinstance(cause, OSError | ValueError)


def test_the_error_for_several_pt_files_gives_the_command_to_fetch_one(fetched: list[str]) -> None:
    """Fails if the message suggests a path inside the model, which is not a name of the hub."""
    model = HubModel("org/sams", "v1")
    with pytest.raises(UserError) as caught:
        hub.only_file(model, fetch(model, hub.SAM2_FILES), "*.pt")
    assert str(caught.value) == (
        "hf://org/sams@v1: holds 2 *.pt files: sam2_large.pt, sam2_small.pt. Give one of them: `hf download "
        "org/sams sam2_large.pt --revision v1 --local-dir FOLDER`, and then FOLDER/sam2_large.pt."
    )
    model = HubModel("org/old")
    with pytest.raises(UserError, match=r"holds no .*nothing file"):
        hub.only_file(model, fetch(model, hub.WEIGHT_FILES), "*.nothing")
