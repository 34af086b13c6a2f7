"""Published names both ways, and folders that are written and read."""

from __future__ import annotations

import pytest
import torch

from pipeline.config.model import ModelConfig, model_config, published_7b
from pipeline.config.training import Part
from pipeline.errors import UserError
from training.model.build import build_model
from training.model.names import PARTS, from_published, locate, to_published
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.vocabulary import NewRows, RowCount
from training.model.weights import (
    load_model,
    load_published,
    own_state,
    published_shapes,
    published_state,
    save_model,
)


def test_all_names_and_shapes_of_the_published_7b_model_map_both_ways(golden):
    lines = (golden / "ufvideo-7b-parameters.tsv").read_text().splitlines()
    stored = {name: tuple(map(int, shape.split("x"))) for name, shape in (line.split("\t") for line in lines)}
    assert len(stored) == 1808
    with torch.device("meta"):
        model = UFVideo(published_7b(), TokenIds(region=1, seg=2, eos=(3,), pad=0))
    assert published_shapes(model) == stored
    assert {from_published(name).name for name in stored} == set(own_state(model))
    for name in own_state(model):
        assert all(from_published(published).name == name for published in to_published(name))


def _published(model: UFVideo) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in published_state(model).items()}


def test_published_weights_arrive_whole(toy: UFVideo, toy_config: ModelConfig):
    other = build_model(toy_config, toy.tokens, seed=6)
    weights = _published(toy)
    gamma = {k.replace(".g_weight", ".gamma"): v for k, v in weights.items()}
    assert gamma.keys() != weights.keys()
    load_published(other, gamma)
    assert all(torch.equal(a, own_state(other)[n]) for n, a in own_state(toy).items())


def test_names_missing_left_over_and_misshapen_are_all_told(toy: UFVideo, toy_config: ModelConfig):
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
    assert "2 names missing" in text
    assert "model.norm.weight" in text
    assert "point_embeddings.2.weight" in text
    assert "2 names left over" in text
    assert "strange" in text
    assert "lm_head.weight is 3x3, the model has 60x128" in text


def test_a_part_loads_from_its_own_public_checkpoint(toy: UFVideo, toy_config: ModelConfig):
    other = build_model(toy_config, toy.tokens, seed=6)
    before = own_state(other)["language.lm.lm_head.weight"].clone()
    long, short = "model.vision_tower.vision_tower.vision_model.", "vision_model."
    siglip = {k.replace(long, short): v for k, v in _published(toy).items() if k.startswith(long)}
    load_published(other, {**siglip, "text_model.final_layer_norm.weight": torch.ones(3)}, part=Part.VISION)
    prefix = "model.mask_encoder.sam2_model."
    sam = {k.removeprefix(prefix): v for k, v in _published(toy).items() if k.startswith(prefix)}
    load_published(other, sam, part=Part.SAM_ENCODER)
    mine, theirs = own_state(other), own_state(toy)
    assert all(
        torch.equal(mine[n], theirs[n]) for n in mine if n.startswith(("vision.", "segmentation.sam."))
    )
    assert torch.equal(mine["language.lm.lm_head.weight"], before)
    with pytest.raises(UserError, match="names missing"):
        load_published(other, {}, part=Part.VISION)


def test_a_larger_vocabulary_is_fitted_where_it_is_asked_for(toy: UFVideo):
    larger = build_model(
        model_config("toy", {"language": {"vocab_size": 70}, "num_frames": 2}), toy.tokens, seed=6
    )
    with pytest.raises(UserError, match="2 shapes differ"):
        load_published(larger, _published(toy))
    loaded = load_published(larger, _published(toy), new_rows=NewRows())
    head, theirs = (own_state(m)["language.lm.lm_head.weight"] for m in (larger, toy))
    assert torch.equal(head[:60], theirs)
    assert torch.allclose(head[60:], theirs.mean(0).expand(10, -1), atol=1e-6)
    assert loaded.rows == RowCount(new=10, old=60, left_out=0)


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
    """Fails if one name of the 1,808 finds no place, one shape differs, or either goes unnoticed."""
    model, stored = _meta_layout(golden)
    loaded = load_published(model, stored)
    assert sum(loaded.tensors.values()) == 1808
    assert set(loaded.tensors) == set(PARTS)
    lost = stored.pop("model.layers.17.mlp.up_proj.weight")
    with pytest.raises(UserError, match=r"1 names missing, such as model.layers.17.mlp.up_proj.weight\."):
        load_published(model, stored)
    stored["model.layers.17.mlp.up_proj.weight"] = lost[:-1]
    with pytest.raises(UserError, match=r"1 shapes differ, such as model.layers.17.*18943x3584.*18944x3584"):
        load_published(model, stored)
    stored["model.layers.28.mlp.up_proj.weight"] = stored["model.layers.17.mlp.up_proj.weight"] = lost
    with pytest.raises(UserError, match=r"1 names left over, such as model\.layers\.28"):
        load_published(model, stored)


def test_each_part_of_the_7b_layout_loads_alone(golden):
    """Fails if a part takes, misses or refuses names of another."""
    model, stored = _meta_layout(golden)
    total = sum(load_published(model, stored, part=part).tensors[part] for part in PARTS)
    assert total == 1808
    # What a public Qwen2 checkpoint holds is the language part, and nothing else.
    qwen2 = {n: t for n, t in stored.items() if locate(n, PARTS)[0] is Part.LANGUAGE}
    assert len(qwen2) == 28 * 12 + 3
    load_published(model, qwen2, part=Part.LANGUAGE)


def test_tables_that_are_computed_here_are_no_weights(toy: UFVideo, toy_config: ModelConfig):
    weights = _published(toy)
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(3)
    load_published(build_model(toy_config, toy.tokens, seed=6), weights)


def test_saved_model_comes_back_the_same(toy: UFVideo, toy_config: ModelConfig, text_batch, tmp_path):
    save_model(toy, tmp_path)
    again = load_model(tmp_path, toy_config)
    assert own_state(again).keys() == own_state(toy).keys()
    batch = text_batch([[5, -201, 7]], [[8, 9]])
    frames = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(again(batch).answer_logits, toy(batch).answer_logits)
    seg = torch.randn(1, 256)
    assert torch.equal(again.decode_masks(frames, seg), toy.decode_masks(frames, seg))
    assert not any(p.is_meta for p in (*again.parameters(), *again.buffers()))
    assert again.tokens == toy.tokens


def test_another_size_is_told_by_its_fields(toy: UFVideo, tmp_path):
    save_model(toy, tmp_path)
    wanted = model_config("toy", {"language": {"vocab_size": 61}, "num_frames": 4})
    with pytest.raises(UserError) as caught:
        load_model(tmp_path, wanted)
    assert "language.vocab_size is 60, the plan says 61" in str(caught.value)
    assert "num_frames is 2, the plan says 4" in str(caught.value)


def test_a_folder_without_a_model_and_a_cut_file_are_refused(toy: UFVideo, tmp_path):
    with pytest.raises(UserError, match="no saved model"):
        load_model(tmp_path)
    save_model(toy, tmp_path)
    shard = next(tmp_path.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a complete"):
        load_model(tmp_path)
