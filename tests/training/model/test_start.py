"""The first checkpoint from published weights, each part from its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_corpus import stage

from pipeline.board import survey
from pipeline.config.load import load_plan
from pipeline.config.plan import Plan
from pipeline.errors import UserError
from training.model.build import build_model
from training.model.names import to_published
from training.model.tokenizer import train_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights import own_state
from training.start import make_model, sized

PLANS = Path(__file__).parents[3] / "plans"
SAM = "model.mask_encoder.sam2_model."


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a red square moves to the right"], vocab_size=300)


@pytest.fixture(scope="module")
def donor(tokenizer) -> UFVideo:
    """A toy model of other weights than the plan's seed gives."""
    config = sized(_plan(Path("/nowhere")).model.resolved, len(tokenizer))
    return build_model(config, TokenIds.of(tokenizer), seed=123)


def _plan(folder: Path, **weights: Path) -> Plan:
    return Plan.model_validate(
        {
            "name": "start",
            "storage": {"root": str(folder / "runs")},
            "model": {"preset": "toy", "weights": {k: str(v) for k, v in weights.items()}},
            "data": {
                "sources": [
                    {
                        "name": "qa",
                        "format": "llava_video",
                        "annotations": str(folder / "qa.json"),
                        "media": [str(folder)],
                    }
                ]
            },
            "stages": [stage().model_dump(mode="json", exclude_none=True)],
        }
    )


def _published(model: UFVideo) -> dict[str, torch.Tensor]:
    out: dict[str, torch.Tensor] = {}
    for name, tensor in own_state(model).items():
        names = to_published(name)
        out.update(zip(names, tensor.split(1) if len(names) > 1 else [tensor], strict=True))
    return {name: tensor.clone() for name, tensor in out.items()}


def _videorefer(model: UFVideo, folder: Path) -> Path:
    """What VideoRefer-7B holds: everything but SAM 2 and the [SEG] head, in two shards."""
    folder.mkdir()
    held = {k: v for k, v in _published(model).items() if not k.startswith((SAM, "model.text_hidden_fcs."))}
    names = sorted(held)
    for i, part in enumerate((names[::2], names[1::2])):
        save_file({n: held[n] for n in part}, folder / f"model-{i}.safetensors")
    return folder


def test_connector_and_regions_come_from_videorefer(donor: UFVideo, tokenizer, tmp_path: Path) -> None:
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    made = own_state(
        make_model(_plan(tmp_path, language=folder, connector=folder, regions=folder), tokenizer)
    )
    theirs = own_state(donor)
    taken = {n for n in made if n.startswith(("language.", "connector.", "regions."))}
    assert {n.split(".")[0] for n in taken} == {"language", "connector", "regions"}
    assert all(torch.equal(made[n], theirs[n]) for n in taken)
    head = "segmentation.head.0.weight"
    assert not torch.equal(made[head], theirs[head])


def test_the_published_stage_names_a_start_for_every_trained_part() -> None:
    weights = load_plan(str(PLANS / "stage1.yaml")).model.weights
    assert weights.language == weights.connector == weights.regions
    assert weights.connector is not None
    assert weights.vision
    assert weights.sam2


def test_every_start_weight_is_an_input_of_init(donor: UFVideo, tmp_path: Path) -> None:
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    (tmp_path / "qa.json").write_text("[]")
    board = survey(_plan(tmp_path, connector=folder, regions=folder))
    refs = board.external["init"]
    assert refs["model.weights.connector"].digest == refs["model.weights.regions"].digest
    before = board.prints["init"]
    file = folder / "model-0.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    assert survey(_plan(tmp_path, connector=folder, regions=folder)).prints["init"] != before


@pytest.mark.parametrize("wrapped", [True, False])
def test_sam2_comes_from_the_file_that_is_published(
    donor: UFVideo, tokenizer, tmp_path: Path, wrapped: bool
) -> None:
    state = {k.removeprefix(SAM): v for k, v in _published(donor).items() if k.startswith(SAM)}
    # As public SAM 2 spells the memory fuser's scale.
    state = {k.replace(".g_weight", ".gamma"): v for k, v in state.items()}
    assert any(k.endswith(".gamma") for k in state)
    file = tmp_path / "sam2_hiera_large.pt"
    torch.save({"model": state} if wrapped else state, file)
    made = own_state(make_model(_plan(tmp_path, sam2=file), tokenizer))
    taken = [n for n in made if n.startswith("segmentation.sam.")]
    assert taken
    assert all(torch.equal(made[n], own_state(donor)[n]) for n in taken)


def test_a_pt_file_that_is_no_state_dict_is_refused(tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "sam2_hiera_large.pt"
    file.write_bytes(b"<html>moved</html>")
    with pytest.raises(UserError, match=r"sam2_hiera_large.pt: is no complete .pt file.*Fetch it again"):
        make_model(_plan(tmp_path, sam2=file), tokenizer)
    torch.save({"model": {"step": 3}}, file)
    with pytest.raises(UserError, match="holds no state dict"):
        make_model(_plan(tmp_path, sam2=file), tokenizer)
    with pytest.raises(UserError, match=r"Name its file sam2_hiera_large.pt"):
        make_model(_plan(tmp_path, sam2=tmp_path), tokenizer)
