"""Checkpoints in the published layout, which other code loads."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import transformers
from qwen_files import write_qwen2
from safetensors import safe_open

from pipeline.errors import UserError
from pipeline.plan.presets import model_config, published_7b
from pipeline.storage.location import Location
from training import export
from training.model.build import build_model
from training.model.tokenizer import load_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights import tensor_files
from training.model.weights.checkpoints import (
    load_model,
    load_published,
    own_state,
    published_state,
)
from training.model.weights.tensor_files import SAFETENSORS_INDEX, write_shards
from training.stage.checkpoint import write_checkpoint
from training.stage.start import with_vocabulary


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Location:
    base = tmp_path_factory.mktemp("export")
    write_qwen2(base / "qwen2")
    tokenizer = load_tokenizer(base / "qwen2")
    config = with_vocabulary(model_config("toy", {"num_frames": 2}), len(tokenizer))
    out = Location.parse(base / "checkpoint")
    model = build_model(config, TokenIds.of(tokenizer), seed=4)
    write_checkpoint(model, tokenizer, out, base / "scratch")
    return out


def test_an_export_in_the_published_layout_loads_as_the_same_model(
    checkpoint: Location, tmp_path: Path, capsys
) -> None:
    """Fails if a name, a shape or a value of the export differs from the published layout's."""
    out = tmp_path / "out"
    assert export.main([checkpoint.uri, str(out)]) == 0
    assert f"written: {out}" in capsys.readouterr().out
    first = load_model((checkpoint / "model").local_path)
    index = json.loads((out / SAFETENSORS_INDEX).read_text())
    assert set(index["weight_map"]) == set(published_state(first))
    again = build_model(first.config, first.tokens, seed=99)
    load_published(again, out)
    loaded = own_state(again)
    assert all(torch.equal(t, loaded[n]) for n, t in own_state(first).items())
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "videorefer_qwen2"
    assert config["hidden_size"] == 128
    assert config["vocab_size"] == first.config.language.vocab_size
    assert len(load_tokenizer(out)) == config["vocab_size"]


def _write_sparse(state: dict[str, torch.Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """A safetensors file with the tensors' names and shapes, and a hole in place of their bytes."""
    header: dict[str, object] = {"__metadata__": metadata or {}}
    end = 0
    for name, tensor in state.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.truncate(8 + len(text) + end)


def test_the_7b_export_has_the_published_names_and_shapes(golden, tmp_path: Path, monkeypatch) -> None:
    """Fails if index or shards at full size differ from the list of the published parameters.

    Everything but the bytes is real: the model is on the meta device, so the 17 GB are holes in the files.
    """
    rows = [r.split("\t") for r in (golden / "ufvideo-7b-parameters.tsv").read_text().splitlines()]
    published = {name: [int(n) for n in shape.split("x")] for name, shape in rows}
    with torch.device("meta"):
        model = UFVideo(published_7b(), TokenIds(region=1, seg=2, eos=(3,), pad=0)).bfloat16()
    monkeypatch.setattr(tensor_files, "save_file", _write_sparse)
    monkeypatch.setattr(tensor_files, "_without_aliasing", lambda tensor: tensor)
    export.write_published(model, tmp_path)
    index = json.loads((tmp_path / SAFETENSORS_INDEX).read_text())
    assert index["weight_map"].keys() == published.keys()
    files = sorted(set(index["weight_map"].values()))
    assert files == [f"model-{i:05d}-of-00005.safetensors" for i in range(1, 6)]
    assert index["metadata"]["total_size"] == 2 * sum(math.prod(shape) for shape in published.values())
    found = {}
    for name in files:
        assert (tmp_path / name).stat().st_size < 4.01 * 1024**3
        with safe_open(tmp_path / name, framework="pt") as file:
            assert file.metadata() == {"format": "pt"}
            found |= {key: (file.get_slice(key).get_shape(), name) for key in file.keys()}  # noqa: SIM118
    assert found == {name: (shape, index["weight_map"][name]) for name, shape in published.items()}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["vocab_size"] == 152_064
    assert config["rope_theta"] == 1_000_000.0
    assert config["num_hidden_layers"] == 28


def test_the_exported_language_model_is_a_qwen2(checkpoint: Location, tmp_path: Path) -> None:
    """Fails if transformers' own loader gives other logits, or misses a weight."""
    out = tmp_path / "qwen2"
    assert export.main([checkpoint.uri, str(out), "--language-only"]) == 0
    first = load_model((checkpoint / "model").local_path)
    theirs, report = transformers.Qwen2ForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    ids = torch.tensor([tokenizer.encode("It is red [SEG] in {<TEMP-007><TEMP-041>}.")])
    with torch.no_grad():
        ours = first.language.logits(first.language.lm.model(inputs_embeds=first.language.embed(ids))[0])
        assert torch.equal(theirs.eval()(ids).logits, ours)
    assert theirs.generation_config.eos_token_id == list(first.tokens.eos)
    assert load_tokenizer(out).convert_tokens_to_ids("[SEG]") == first.tokens.seg


def test_a_model_starts_from_a_language_export(checkpoint: Location, tmp_path: Path) -> None:
    from pipeline.plan.parts import Part

    out = tmp_path / "qwen2"
    export.export(checkpoint, out, language_only=True)
    first = load_model((checkpoint / "model").local_path)
    again = build_model(first.config, first.tokens, seed=99)
    load_published(again, out, part=Part.LANGUAGE)
    mine, theirs = own_state(again), own_state(first)
    assert all(torch.equal(mine[n], theirs[n]) for n in mine if n.startswith("language."))


def test_shards_are_split_at_their_size_limit(checkpoint: Location, tmp_path: Path) -> None:
    first = load_model((checkpoint / "model").local_path)
    state = published_state(first)
    write_shards(state, tmp_path, shard_bytes=1024**2)
    index = json.loads((tmp_path / SAFETENSORS_INDEX).read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in state.values())
    load_published(build_model(first.config, first.tokens, seed=99), tmp_path)


def test_an_export_overwrites_nothing(checkpoint: Location, tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert export.main([checkpoint.uri, str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(UserError, match="holds no model/"):
        export.export(Location.parse(tmp_path), tmp_path / "out")


def test_a_tied_output_layer_is_written_once(tmp_path: Path) -> None:
    """Fails if the shared table is written under both names, which safetensors refuses."""
    config = model_config("toy", {"num_frames": 2, "language": {"tie_word_embeddings": True}})
    tokens = TokenIds(region=1, seg=2, eos=(3,), pad=0)
    first, again = (build_model(config, tokens, seed=seed) for seed in (4, 5))
    export.write_published(first, tmp_path)
    load_published(again, tmp_path)
    loaded = own_state(again)
    assert all(torch.equal(t, loaded[n]) for n, t in own_state(first).items())
    assert torch.equal(again.language.lm.lm_head.weight, first.language.lm.lm_head.weight)
