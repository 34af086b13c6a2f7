"""``from_pretrained`` and ``save_model``, in this project's layout and in the published one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from qwen_files import write_qwen2
from safetensors import safe_open

from pipeline.errors import UserError
from pipeline.plan.presets import model_config
from pipeline.storage.location import Location
from tests.pipeline.small_hub import small_hub
from training.export import export
from training.model.build import build_model
from training.model.tokenizer import load_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import own_state, save_model
from training.model.weights.pretrained import from_pretrained
from training.stage.checkpoint import write_checkpoint
from training.stage.start import with_vocabulary


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``checkpoint/`` of a toy in bf16 and ``org/export``, the same in the published layout."""
    base = tmp_path_factory.mktemp("pretrained")
    write_qwen2(base / "qwen2")
    tokenizer = load_tokenizer(base / "qwen2")
    config = with_vocabulary(model_config("toy", {"num_frames": 2}), len(tokenizer))
    model = build_model(config, TokenIds.of(tokenizer), seed=4, dtype=torch.bfloat16)
    checkpoint = Location.parse(base / "checkpoint")
    write_checkpoint(model, tokenizer, checkpoint, base / "scratch")
    export(checkpoint, base / "org" / "export")
    return base


def _same(first: UFVideo, second: UFVideo) -> bool:
    theirs = own_state(second)
    return theirs.keys() == own_state(first).keys() and all(
        torch.equal(t, theirs[n]) for n, t in own_state(first).items()
    )


def test_a_saved_model_loads_unchanged(toy: UFVideo, tmp_path: Path) -> None:
    """Fails if a tensor, a size, a token id or the dtype is lost, or if the file does not name its format."""
    save_model(toy, tmp_path / "saved")
    again = from_pretrained(tmp_path / "saved")
    assert _same(toy, again)
    assert (again.config, again.tokens, again.training) == (toy.config, toy.tokens, False)
    (weights,) = (tmp_path / "saved").glob("*.safetensors")
    assert weights.stat().st_mode & 0o777 == 0o644, "others may read it"
    with safe_open(weights, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    half = from_pretrained(str(tmp_path / "saved"), dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_both_layouts_give_the_same_model(base: Path, tmp_path: Path, monkeypatch) -> None:
    """Fails if an export, by its path or from the hub, differs from the model of its checkpoint."""
    first = from_pretrained(base / "checkpoint" / "model")
    published = from_pretrained(base / "org" / "export")
    with small_hub(base, tmp_path / "cache"):
        fetched = from_pretrained("hf://org/export")
    for other in (published, fetched):
        assert _same(first, other)
        assert (other.config, other.tokens, other.training) == (first.config, first.tokens, False)
        assert {p.dtype for p in other.parameters()} == {torch.bfloat16}
        assert not any(t.is_meta for t in (*other.parameters(), *other.buffers()))
    save_model(published, tmp_path / "own")
    assert _same(first, from_pretrained(tmp_path / "own"))
    wide = from_pretrained(base / "org" / "export", dtype=torch.float32)
    assert {p.dtype for p in wide.parameters()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:`rope_scaling` is deprecated")  # the released file's own key
def test_with_the_released_config_the_caller_gives_the_sizes(base: Path, tmp_path: Path) -> None:
    """Without this project's key the sizes are those given, and the token ids those of the tokenizer."""
    first = from_pretrained(base / "checkpoint" / "model")
    for file in (base / "org" / "export").iterdir():
        (tmp_path / file.name).symlink_to(file)
    raw = json.loads((tmp_path / "config.json").read_text())
    del raw["ufvideo"]
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(raw))
    again = from_pretrained(tmp_path, config=first.config)
    assert _same(first, again)
    assert again.tokens == first.tokens


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "has no vocab_size"),
        ({"vocab_size": "many"}, "has no vocab_size"),
        ({"vocab_size": 7}, r"do not fit together: language\.vocab_size 7"),
    ],
)
def test_an_unusable_config_is_reported(base: Path, tmp_path: Path, raw: dict, message: str) -> None:
    """Catches a crash deep in the model, and one after minutes of loading."""
    for file in (base / "org" / "export").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match=message):
        from_pretrained(tmp_path)


def test_a_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no readable config.json .* Use the model/ folder"):
        from_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has no readable config\.json"):
        from_pretrained(Path("no/where"))  # a path that is not there is not looked for on the hub
