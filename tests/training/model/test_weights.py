"""Parameter names to and from the published layout, and folders that are written and read."""

from __future__ import annotations

import copy
import gc
import json
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from pipeline.plan.presets import model_config, published_7b
from training.model.build import build_model
from training.model.parts import PARTS
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import (
    load_model,
    load_published,
    own_state,
    published_state,
    save_model,
)
from training.model.weights.mismatches import fold_names
from training.model.weights.names import from_published, locate, to_published
from training.model.weights.tensor_files import SAFETENSORS_INDEX, write_shards
from training.model.weights.vocabulary import NewRows, RowCount


def test_all_names_and_shapes_of_the_published_7b_model_map_both_ways(golden):
    lines = (golden / "ufvideo-7b-parameters.tsv").read_text().splitlines()
    stored = {name: tuple(map(int, shape.split("x"))) for name, shape in (line.split("\t") for line in lines)}
    assert len(stored) == 1808
    with torch.device("meta"):
        model = UFVideo(published_7b(), TokenIds(region=1, seg=2, eos=(3,), pad=0))
    assert {name: tuple(t.shape) for name, t in published_state(model).items()} == stored
    assert {from_published(name).name for name in stored} == set(own_state(model))
    for name in own_state(model):
        assert all(from_published(published).name == name for published in to_published(name))


def _published(model: UFVideo) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in published_state(model).items()}


def test_published_weights_load_completely(toy: UFVideo, toy_config: ModelConfig):
    other = build_model(toy_config, toy.tokens, seed=6)
    weights = _published(toy)
    gamma = {k.replace(".g_weight", ".gamma"): v for k, v in weights.items()}
    assert gamma.keys() != weights.keys()
    load_published(other, gamma)
    theirs = own_state(other)
    assert all(torch.equal(a, theirs[n]) for n, a in own_state(toy).items())


def test_missing_unexpected_and_misshapen_tensors_are_all_listed(toy: UFVideo, toy_config: ModelConfig):
    other = build_model(toy_config, toy.tokens, seed=6)
    weights = _published(toy)
    del weights["model.norm.weight"]
    del weights["model.mask_encoder.sam2_model.sam_prompt_encoder.point_embeddings.2.weight"]
    weights["model.rotary"] = torch.zeros(1)
    weights["strange"] = torch.zeros(1)
    weights["lm_head.weight"] = torch.zeros(3, 3)
    with pytest.raises(UserError) as caught:
        load_published(other, weights)
    text = str(caught.value)
    assert "2 missing names" in text
    assert "model.norm.weight" in text
    assert "point_embeddings.2.weight" in text
    assert "2 unexpected names" in text
    assert "strange" in text
    assert "lm_head.weight is 3x3, the model has 60x128" in text


def test_a_part_loads_from_its_own_public_checkpoint(toy: UFVideo, toy_config: ModelConfig):
    other = build_model(toy_config, toy.tokens, seed=6)
    before = own_state(other)["language.lm.lm_head.weight"].clone()
    long, short = "model.vision_tower.vision_tower.vision_model.", "vision_model."
    siglip = {k.replace(long, short): v for k, v in _published(toy).items() if k.startswith(long)}
    text = {f"text_model.encoder.layers.{i}.mlp.fc1.bias": torch.ones(3) for i in range(2)}
    loaded = load_published(other, {**siglip, **text}, part=Part.VISION, strict=False)
    assert loaded.ignored == tuple(text)
    prefix = "model.mask_encoder.sam2_model."
    sam = {k.removeprefix(prefix): v for k, v in _published(toy).items() if k.startswith(prefix)}
    load_published(other, sam, part=Part.SAM_ENCODER)
    mine, theirs = own_state(other), own_state(toy)
    assert all(
        torch.equal(mine[n], theirs[n]) for n in mine if n.startswith(("vision.", "segmentation.sam."))
    )
    assert torch.equal(mine["language.lm.lm_head.weight"], before)
    with pytest.raises(UserError, match="missing names"):
        load_published(other, {}, part=Part.VISION)
    with pytest.raises(UserError, match=r"2 unexpected names: text_model\.encoder\.layers\.\{0-1\}\.mlp"):
        load_published(other, {**siglip, **text}, part=Part.VISION)


def test_a_larger_vocabulary_is_fitted_only_on_request(toy: UFVideo):
    larger = build_model(
        model_config("toy", {"language": {"vocab_size": 70}, "num_frames": 2}), toy.tokens, seed=6
    )
    with pytest.raises(UserError, match="2 different shapes"):
        load_published(larger, _published(toy))
    loaded = load_published(larger, _published(toy), new_rows=NewRows())
    head, theirs = (own_state(m)["language.lm.lm_head.weight"] for m in (larger, toy))
    assert torch.equal(head[:60], theirs)
    assert torch.allclose(head[60:], theirs.mean(0).expand(10, -1), atol=1e-6)
    assert loaded.rows == RowCount(new=10, old=60, dropped=0)


def _meta_layout(golden) -> tuple[UFVideo, dict[str, torch.Tensor]]:
    """The 7B model and every tensor of its published layout, without memory."""
    lines = (golden / "ufvideo-7b-parameters.tsv").read_text().splitlines()
    with torch.device("meta"):
        model = UFVideo(published_7b(), TokenIds(region=1, seg=2, eos=(3,), pad=0))
        stored = {
            name: torch.empty(*map(int, shape.split("x")))
            for name, shape in (line.split("\t") for line in lines)
        }
    return model, stored


def test_the_whole_7b_layout_loads(golden):
    """Fails if one name of the 1,808 is not mapped, one shape differs, or either goes unnoticed."""
    model, stored = _meta_layout(golden)
    loaded = load_published(model, stored)
    assert sum(loaded.tensors.values()) == 1808
    assert set(loaded.tensors) == set(PARTS)
    lost = stored.pop("model.layers.17.mlp.up_proj.weight")
    with pytest.raises(UserError, match=r"1 missing names: model.layers.17.mlp.up_proj.weight\."):
        load_published(model, stored)
    stored["model.layers.17.mlp.up_proj.weight"] = lost[:-1]
    with pytest.raises(UserError, match=r"1 different shapes: model.layers.17.*18943x3584.*18944x3584"):
        load_published(model, stored)
    stored["model.layers.28.mlp.up_proj.weight"] = stored["model.layers.17.mlp.up_proj.weight"] = lost
    with pytest.raises(UserError, match=r"1 unexpected names: model\.layers\.28"):
        load_published(model, stored)


def test_every_name_is_reported_with_its_numbers_folded(golden):
    """Fails if a list is cut short, or if folding loses or invents a name."""
    model, stored = _meta_layout(golden)
    lost = {n for n in stored if ".self_attn." in n and n.startswith("model.layers.")}
    odd = "model.layers.5.mlp.up_proj.weight"
    with pytest.raises(UserError) as caught:
        load_published(model, {n: t for n, t in stored.items() if n not in {*lost, odd}})
    text = str(caught.value)
    assert f"{len(lost) + 1} missing names: " in text
    for kind in ("q_proj.weight", "q_proj.bias", "k_proj.weight", "v_proj.weight", "o_proj.weight"):
        assert f"model.layers.{{0-27}}.self_attn.{kind}" in text
    assert odd in text
    assert len(text) < 1000
    names = [f"a.{i}.b.{j}.w" for i in (0, 1, 2, 5) for j in (0, 3) if (i, j) != (5, 3)]
    assert fold_names(names) == ["a.{0-2,5}.b.0.w", "a.{0-2}.b.3.w"]
    assert fold_names(["norm", "x.07", "x.08", "x.1"]) == ["norm", "x.07", "x.08", "x.1"]


def test_the_file_of_a_bad_tensor_is_named(toy: UFVideo, toy_config: ModelConfig, tmp_path):
    """Fails if a misshapen or strange tensor of a folder is reported without its shard, in either layout."""
    weights = _published(toy)
    weights["model.norm.weight"], weights["strange"] = torch.ones(3), torch.ones(3)
    write_shards(weights, tmp_path, shard_bytes=1024**2)
    shard = json.loads((tmp_path / SAFETENSORS_INDEX).read_text())["weight_map"]
    with pytest.raises(UserError) as caught:
        load_published(build_model(toy_config, toy.tokens, seed=6), tmp_path)
    assert len(set(shard.values())) > 2
    assert f"1 unexpected names: strange ({shard['strange']})." in str(caught.value)
    wrong = f"model.norm.weight is 3, the model has 128 ({shard['model.norm.weight']})."
    assert f"1 different shapes: {wrong}" in str(caught.value)


def test_all_faults_of_a_saved_model_are_reported_at_once(toy: UFVideo, tmp_path):
    """Fails if loading stops at the first tensor that does not fit."""
    save_model(toy, tmp_path)
    state = {n: t.clone() for n, t in own_state(toy).items()}
    for i in range(2):
        del state[f"language.lm.model.layers.{i}.mlp.up_proj.weight"]
        state[f"language.lm.model.layers.{i}.mlp.down_proj.weight"] = torch.ones(3, 3)
        state[f"language.lm.model.layers.{i}.mlp.gate"] = torch.ones(3)
    for old in tmp_path.glob("*.safetensors*"):
        old.unlink()
    write_shards(state, tmp_path)
    with pytest.raises(UserError) as caught:
        load_model(tmp_path)
    text, layers = str(caught.value), "language.lm.model.layers.{0-1}.mlp"
    file = "(model-00001-of-00001.safetensors)"
    assert f"2 missing names: {layers}.up_proj.weight. " in text
    assert f"2 unexpected names: {layers}.gate {file}. " in text
    assert f"2 different shapes: {layers}.down_proj.weight is 3x3, the model has 128x" in text


def test_each_part_of_the_7b_layout_loads_alone(golden):
    """Fails if a part takes, misses or refuses names of another."""
    model, stored = _meta_layout(golden)
    total = sum(load_published(model, stored, part=part).tensors[part] for part in PARTS)
    assert total == 1808
    # What a public Qwen2 checkpoint holds is the language part, and nothing else.
    qwen2 = {n: t for n, t in stored.items() if locate(n, PARTS)[0] is Part.LANGUAGE}
    assert len(qwen2) == 28 * 12 + 3
    load_published(model, qwen2, part=Part.LANGUAGE)


def test_computed_tables_in_a_checkpoint_are_ignored(toy: UFVideo, toy_config: ModelConfig):
    weights = _published(toy)
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(3)
    load_published(build_model(toy_config, toy.tokens, seed=6), weights)


def test_a_saved_model_loads_unchanged(toy: UFVideo, toy_config: ModelConfig, text_batch, tmp_path):
    save_model(toy, tmp_path)
    loaded = load_model(tmp_path, toy_config)
    assert own_state(loaded).keys() == own_state(toy).keys()
    batch = text_batch([[5, -201, 7]], [[8, 9]])
    frames = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(loaded(batch).answer_logits, toy(batch).answer_logits)
    seg = torch.randn(1, 256)
    assert torch.equal(
        loaded.segmentation.decode_masks(frames, seg), toy.segmentation.decode_masks(frames, seg)
    )
    assert not any(p.is_meta for p in (*loaded.parameters(), *loaded.buffers()))
    assert loaded.tokens == toy.tokens


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("requested", [torch.float32, torch.bfloat16])
def test_a_saved_model_loads_in_the_requested_dtype(toy: UFVideo, tmp_path, stored, requested):
    """Fails if the result differs from loading and casting, or if a buffer takes the parameters' dtype."""
    first = copy.deepcopy(toy)
    for parameter in first.parameters():
        parameter.data = parameter.data.to(stored)
    save_model(first, tmp_path)
    loaded = load_model(tmp_path, dtype=requested)
    assert {p.dtype for p in loaded.parameters()} == {requested}
    assert {b.dtype for b in loaded.buffers() if b.is_floating_point()} == {torch.float32}
    theirs = dict(loaded.named_parameters())
    assert all(torch.equal(p.to(requested), theirs[n]) for n, p in first.named_parameters())
    assert {p.dtype for p in load_model(tmp_path).parameters()} == {stored}


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_a_cast_while_loading_releases_the_files(toy: UFVideo, tmp_path):
    """Fails if a stored file stays mapped beside the copy of its tensors, in whatever dtype they were."""

    def mapped() -> bool:
        gc.collect()
        return str(tmp_path) in Path("/proc/self/maps").read_text()

    save_model(toy, tmp_path)
    model = load_model(tmp_path)
    assert mapped()
    del model
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(tmp_path, dtype=dtype)
        assert not mapped()
        assert next(model.parameters()).dtype is dtype


def test_other_sizes_are_reported_by_field(toy: UFVideo, tmp_path):
    save_model(toy, tmp_path)
    requested = model_config("toy", {"language": {"vocab_size": 61}, "num_frames": 4})
    with pytest.raises(UserError) as caught:
        load_model(tmp_path, requested)
    assert "language.vocab_size is 60, the plan says 61" in str(caught.value)
    assert "num_frames is 2, the plan says 4" in str(caught.value)


def test_a_folder_without_a_model_and_a_truncated_file_are_refused(toy: UFVideo, tmp_path):
    with pytest.raises(UserError, match="no saved model"):
        load_model(tmp_path)
    save_model(toy, tmp_path)
    shard = next(tmp_path.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a complete"):
        load_model(tmp_path)
