"""The first checkpoint from published weights, each part from its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from qwen_files import write_qwen2
from safetensors.torch import save_file
from tiny_corpus import stage

from pipeline.board import survey
from pipeline.config.load import load_plan
from pipeline.config.plan import Plan
from pipeline.config.training import Part
from pipeline.errors import UserError
from training.model.build import build_model
from training.model.names import PARTS, locate
from training.model.tokenizer import train_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights import own_state, published_state
from training.start import make_model, make_tokenizer, sized, sources_of

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
    config = sized(_plan(Path("/nowhere")).model.resolved, len(tokenizer))
    return build_model(config, TokenIds.of(tokenizer), seed=123)


def _plan(
    folder: Path, saved: Path | None = None, new_rows: str = "mean", **weights: Path | str | bool
) -> Plan:
    return Plan.model_validate(
        {
            "name": "start",
            "storage": {"root": str(folder / "runs")},
            "model": {
                "preset": "toy",
                "tokenizer": {"path": str(saved) if saved else None, "new_rows": new_rows},
                "weights": {k: str(v) if isinstance(v, Path) else v for k, v in weights.items()},
            },
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


def _videorefer(model: UFVideo, folder: Path) -> Path:
    """What VideoRefer-7B holds: language model, connector and region encoder, in two shards."""
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
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    made = own_state(make_model(_plan(tmp_path, saved, **dict.fromkeys(keys, folder)), tokenizer))
    theirs = own_state(donor)
    taken = {n for n in made if n.startswith(("language.", "connector.", "regions."))}
    assert {n.split(".")[0] for n in taken} == {"language", "connector", "regions"}
    assert all(torch.equal(made[n], theirs[n]) for n in taken)
    for other in ("segmentation.head.0.weight", "vision.tower.embeddings.patch_embedding.weight"):
        assert not torch.equal(made[other], theirs[other])
        assert 0.01 < float(made[other].std()) < 1  # begun, not merely allocated


def test_what_videorefer_lacks_and_has_too_much_is_told(
    donor: UFVideo, tokenizer, saved: Path, tmp_path: Path
) -> None:
    """Fails if names of the parts that are asked for are passed over when nothing here takes them."""
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    (folder / "model-1.safetensors").unlink()
    save_file({"model.region_encoder.gate": torch.ones(2)}, folder / "model-2.safetensors")
    with pytest.raises(UserError) as caught:
        make_model(_plan(tmp_path, saved, videorefer=folder), tokenizer)
    assert "names missing, such as " in str(caught.value)
    assert "1 names left over, such as model.region_encoder.gate" in str(caught.value)
    # The same extra name does not matter to a part that it is not of.
    folder = _videorefer(donor, tmp_path / "again")
    save_file({"model.region_encoder.gate": torch.ones(2)}, folder / "model-2.safetensors")
    make_model(_plan(tmp_path, saved, connector=folder), tokenizer)


def test_a_part_comes_from_the_most_particular_path() -> None:
    weights = _plan(Path("/nowhere"), whole="a/all", videorefer="a/vr", connector="a/c").model.weights
    assert sources_of(weights) == {
        "connector": (Part.CONNECTOR,),
        "videorefer": (Part.LANGUAGE, Part.REGIONS),
        "whole": (Part.VISION, Part.SEG_HEAD, Part.SAM_ENCODER),
    }


def test_parts_that_are_not_loaded_begin_from_the_seed(
    donor: UFVideo, tokenizer, saved: Path, tmp_path: Path, capsys
) -> None:
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    plan = _plan(tmp_path, saved, videorefer=folder)
    first, second = (own_state(make_model(plan, tokenizer)) for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)
    told = capsys.readouterr().out
    assert "init: language, connector, regions from " in told
    assert "init: at random: vision, seg_head, sam_encoder" in told


@pytest.mark.parametrize("start", ["mean", "random"])
def test_rows_of_tokens_that_the_weights_do_not_know(tmp_path: Path, capsys, start: str) -> None:
    """Fails if the unused rows behind a stored vocabulary are taken for trained ones, in either role."""
    known, unused = (
        write_qwen2(tmp_path / "base"),
        40,
    )  # 40 of the 102 tokens lie on unused rows, 62 past them
    stored = build_model(
        sized(_plan(tmp_path).model.resolved, known + unused),
        TokenIds(region=1, seg=2, eos=(0,), pad=0),
        seed=9,
    )
    state = published_state(stored)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        state[name][known:] = 1e6
    (tmp_path / "Qwen2").mkdir()
    save_file(
        {n: t for n, t in state.items() if locate(n, PARTS)[0] is Part.LANGUAGE},
        tmp_path / "Qwen2" / "model.safetensors",
    )
    plan = _plan(tmp_path, tmp_path / "base", start, language=tmp_path / "Qwen2")
    tokenizer = make_tokenizer(plan, None)
    assert len(tokenizer) == known + 102
    made = published_state(make_model(plan, tokenizer))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(made[name][:known], state[name][:known])
        new, mean = made[name][known:], state[name][:known].mean(0)
        if start == "mean":
            assert torch.allclose(new, mean.expand(102, -1), atol=1e-6)
        else:
            assert float(new.std()) == pytest.approx(0.02, rel=0.1)
            assert not torch.equal(new[0], new[1])
    how = {"mean": "from the mean of the old", "random": "at random"}[start]
    assert f"vocabulary: {known} rows as stored, 102 new ones start {how}\n" in capsys.readouterr().out


def test_a_language_model_without_its_tokenizer_is_refused(donor: UFVideo, tokenizer, tmp_path: Path) -> None:
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    with pytest.raises(UserError, match=r"model.tokenizer.path: is not set"):
        make_model(_plan(tmp_path, videorefer=folder), tokenizer)


def test_a_start_in_bf16_is_bf16_everywhere(donor: UFVideo, tokenizer, saved: Path, tmp_path: Path) -> None:
    folder = _videorefer(donor, tmp_path / "VideoRefer-7B")
    made = make_model(_plan(tmp_path, saved, videorefer=folder, bf16=True), tokenizer)
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}
    assert made.language.lm.model.rotary_emb.inv_freq.dtype is torch.float32
    name = "connector.readout.0.weight"
    assert torch.equal(own_state(made)[name], own_state(donor)[name].bfloat16())


def test_the_published_stage_names_a_start_for_every_trained_part() -> None:
    weights = load_plan(str(PLANS / "stage1.yaml")).model.weights
    assert set(sources_of(weights)) == {"videorefer", "vision", "sam2"}


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
    state = {k.removeprefix(SAM): v for k, v in published_state(donor).items() if k.startswith(SAM)}
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
