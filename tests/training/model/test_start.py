"""The first checkpoint from published weights, each part from its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from start_plan import make_plan

from pipeline.artifacts.survey import survey
from pipeline.errors import UserError
from pipeline.plan.load import load_plan
from pipeline.plan.parts import Part
from training.model.build import build_model
from training.model.tokenizer import train_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import own_state, published_state
from training.stage.start import make_model, sources_of, with_vocabulary

PLANS = Path(__file__).parents[3] / "plans"
SAM = "model.mask_encoder.sam2_model."


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a red square moves to the right"], vocab_size=300)


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory) -> Path:
    """The tokenizer of the donor's weights."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def donor(tokenizer) -> UFVideo:
    """A toy model of other weights than the plan's seed gives."""
    config = with_vocabulary(make_plan(Path("/nowhere")).model.resolved, len(tokenizer))
    return build_model(config, TokenIds.of(tokenizer), seed=123)


def _write_videorefer(model: UFVideo, folder: Path) -> Path:
    """The tensors of VideoRefer-7B: language model, connector and region encoder, in two shards."""
    folder.mkdir()
    lacking = (SAM, "model.text_hidden_fcs.", "model.vision_tower.")
    held = {k: v for k, v in published_state(model).items() if not k.startswith(lacking)}
    names = sorted(held)
    for i, part in enumerate((names[::2], names[1::2])):
        save_file({n: held[n] for n in part}, folder / f"model-{i}.safetensors")
    return folder


@pytest.mark.parametrize("keys", [("videorefer",), ("language", "connector", "regions")])
def test_connector_and_regions_come_from_videorefer(
    donor: UFVideo, tokenizer, saved: Path, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    """Fails if a part is left out of what the key ``videorefer`` stands for."""
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    made = own_state(make_model(make_plan(tmp_path, saved, **dict.fromkeys(keys, folder)), tokenizer))
    theirs = own_state(donor)
    taken = {n for n in made if n.startswith(("language.", "connector.", "regions."))}
    assert {n.split(".")[0] for n in taken} == {"language", "connector", "regions"}
    assert all(torch.equal(made[n], theirs[n]) for n in taken)
    for other in ("segmentation.head.0.weight", "vision.tower.embeddings.patch_embedding.weight"):
        assert not torch.equal(made[other], theirs[other])
        assert 0.01 < float(made[other].std()) < 1  # initialised, not merely allocated


def test_missing_and_unexpected_names_of_videorefer_are_reported(
    donor: UFVideo, tokenizer, saved: Path, tmp_path: Path
) -> None:
    """Fails if names that this model does not have are ignored in the parts that are loaded."""
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    (folder / "model-1.safetensors").unlink()
    save_file({"model.region_encoder.gate": torch.ones(2)}, folder / "model-2.safetensors")
    with pytest.raises(UserError) as caught:
        make_model(make_plan(tmp_path, saved, videorefer=folder), tokenizer)
    assert "missing names: " in str(caught.value)
    assert "1 unexpected names: model.region_encoder.gate (model-2.safetensors)" in str(caught.value)


def test_unknown_names_are_reported_where_they_are_allowed(
    donor: UFVideo, tokenizer, saved: Path, tmp_path: Path, capsys
) -> None:
    """Fails if they go unreported because only a part is loaded, or pass where no others are allowed."""
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    odd = ["model.region_encoder.gate", "audio.layers.0.w", "audio.layers.1.w"]
    save_file({n: torch.ones(2) for n in odd}, folder / "model-2.safetensors")
    make_model(make_plan(tmp_path, saved, connector=folder), tokenizer)
    message = (
        f"init: 3 names in {folder} are not of this model: "
        "audio.layers.{0-1}.w; model.region_encoder.gate\n"
    )
    assert message in capsys.readouterr().out
    for key in ("whole", "videorefer", "language"):
        with pytest.raises(UserError, match=r"unexpected names: audio\.layers\.\{0-1\}\.w"):
            make_model(make_plan(tmp_path, saved, **{key: folder}), tokenizer)


def test_vision_comes_from_siglip_whose_text_half_is_reported(
    donor: UFVideo, tokenizer, tmp_path: Path, capsys
) -> None:
    """Fails if names of SigLIP are not mapped, or if its text half is refused or not reported."""
    long, short = "model.vision_tower.vision_tower.vision_model.", "vision_model."
    state = {k.replace(long, short): v for k, v in published_state(donor).items() if k.startswith(long)}
    text = {f"text_model.encoder.layers.{i}.mlp.fc1.bias": torch.ones(3) for i in range(2)}
    (tmp_path / "siglip").mkdir()
    save_file({**state, **text}, tmp_path / "siglip" / "model.safetensors")
    made = own_state(make_model(make_plan(tmp_path, vision=tmp_path / "siglip"), tokenizer))
    taken = [n for n in made if n.startswith("vision.")]
    assert len(taken) == len(state)
    theirs = own_state(donor)
    assert all(torch.equal(made[n], theirs[n]) for n in taken)
    assert "are not of this model: text_model.encoder.layers.{0-1}.mlp.fc1.bias\n" in capsys.readouterr().out


def test_a_part_comes_from_the_most_specific_path() -> None:
    weights = make_plan(Path("/nowhere"), whole="a/all", videorefer="a/vr", connector="a/c").model.weights
    assert sources_of(weights) == {
        "connector": (Part.CONNECTOR,),
        "videorefer": (Part.LANGUAGE, Part.REGIONS),
        "whole": (Part.VISION, Part.SEG_HEAD, Part.SAM_ENCODER),
    }


def test_parts_that_are_not_loaded_are_initialised_from_the_seed(
    donor: UFVideo, tokenizer, saved: Path, tmp_path: Path, capsys
) -> None:
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    plan = make_plan(tmp_path, saved, videorefer=folder)
    first, second = (own_state(make_model(plan, tokenizer)) for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)
    message = capsys.readouterr().out
    assert "init: language, connector, regions from " in message
    assert "init: at random: vision, seg_head, sam_encoder" in message


def test_a_language_model_without_its_tokenizer_is_refused(donor: UFVideo, tokenizer, tmp_path: Path) -> None:
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    with pytest.raises(UserError, match=r"model.tokenizer.path: is not set"):
        make_model(make_plan(tmp_path, videorefer=folder), tokenizer)


def test_a_start_in_bf16_is_bf16_everywhere(donor: UFVideo, tokenizer, saved: Path, tmp_path: Path) -> None:
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    made = make_model(make_plan(tmp_path, saved, videorefer=folder, bf16=True), tokenizer)
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}
    assert made.language.lm.model.rotary_emb.inv_freq.dtype is torch.float32
    name = "connector.readout.0.weight"
    assert torch.equal(own_state(made)[name], own_state(donor)[name].bfloat16())


def test_the_published_stage_names_a_start_for_every_trained_part() -> None:
    weights = load_plan(str(PLANS / "stage1.yaml")).model.weights
    assert set(sources_of(weights)) == {"videorefer", "vision", "sam2"}


def test_every_start_weight_is_an_input_of_init(donor: UFVideo, tmp_path: Path) -> None:
    folder = _write_videorefer(donor, tmp_path / "VideoRefer-7B")
    (tmp_path / "qa.json").write_text("[]")
    plan_status = survey(make_plan(tmp_path, connector=folder, regions=folder))
    refs = plan_status.inputs["init"]
    assert refs["model.weights.connector"].digest == refs["model.weights.regions"].digest
    before = plan_status.fingerprints["init"]
    file = folder / "model-0.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    assert survey(make_plan(tmp_path, connector=folder, regions=folder)).fingerprints["init"] != before


@pytest.mark.parametrize("wrapped", [True, False])
def test_sam2_loads_from_its_published_file(donor: UFVideo, tokenizer, tmp_path: Path, wrapped: bool) -> None:
    state = {k.removeprefix(SAM): v for k, v in published_state(donor).items() if k.startswith(SAM)}
    # As public SAM 2 spells the memory fuser's scale.
    state = {k.replace(".g_weight", ".gamma"): v for k, v in state.items()}
    assert any(k.endswith(".gamma") for k in state)
    file = tmp_path / "sam2_hiera_large.pt"
    torch.save({"model": state} if wrapped else state, file)
    made = own_state(make_model(make_plan(tmp_path, sam2=file), tokenizer))
    taken = [n for n in made if n.startswith("segmentation.sam.")]
    assert taken
    theirs = own_state(donor)
    assert all(torch.equal(made[n], theirs[n]) for n in taken)


def test_a_pt_file_that_is_not_a_state_dict_is_refused(tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "sam2_hiera_large.pt"
    file.write_bytes(b"<html>moved</html>")
    with pytest.raises(UserError, match=r"sam2_hiera_large.pt: is not a complete .pt file.*Fetch it again"):
        make_model(make_plan(tmp_path, sam2=file), tokenizer)
    torch.save({"model": {"step": 3}}, file)
    with pytest.raises(UserError, match="holds no state dict"):
        make_model(make_plan(tmp_path, sam2=file), tokenizer)
    with pytest.raises(UserError, match=r"Name its file sam2_hiera_large.pt"):
        make_model(make_plan(tmp_path, sam2=tmp_path), tokenizer)
