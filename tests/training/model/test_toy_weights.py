"""``make toy-weights``, and the files that it made: the demo's vision tower, SAM 2, and what reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from training.model.propagation import propagate
from training.model.tokenizer import load_tokenizer
from training.model.ufvideo import UFVideo
from training.stage.start import make_model
from training.toy_weights.make import DIGESTS, SAM2, SIGLIP, VIDEOREFER, digests, make
from training.toy_weights.outlining import Words, candidates, draw_prompts, losses
from training.toy_weights.pictures import MOST, draw_pictures
from training.toy_weights.seeing import truth

REPO = Path(__file__).resolve().parents[3]
COMMITTED = REPO / "toy_weights"


def demo_with(folder: Path, *sets: str) -> Plan:
    """The demo plan with the weights of a folder."""
    files = {"weights.vision": SIGLIP, "weights.sam2": SAM2, "weights.videorefer": VIDEOREFER}
    files["tokenizer.path"] = VIDEOREFER
    given = [f"model.{key}={folder / name}" for key, name in files.items()]
    return load_plan(str(REPO / "plans" / "demo.yaml"), [*given, *sets])


def started(plan: Plan) -> UFVideo:
    """The model that init makes of a plan."""
    path = plan.model_section.tokenizer.path
    assert path is not None
    return make_model(plan, load_tokenizer(path))


def test_the_committed_weights_are_those_of_their_digests() -> None:
    assert digests(COMMITTED) == json.loads((COMMITTED / DIGESTS).read_text())
    assert sum(p.stat().st_size for p in COMMITTED.rglob("*") if p.is_file()) <= 4_000_000


def test_the_demo_plan_starts_from_the_committed_weights() -> None:
    model = load_plan(str(REPO / "plans" / "demo.yaml")).model_section
    assert model.weights.paths == {
        "videorefer": f"toy_weights/{VIDEOREFER}",
        "vision": f"toy_weights/{SIGLIP}",
        "sam2": f"toy_weights/{SAM2}",
    }
    assert model.tokenizer.path == f"toy_weights/{VIDEOREFER}"


def test_the_command_makes_the_same_loadable_files_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        demo = str(REPO / "plans" / "demo.yaml")
        make(tmp_path / name, demo, see_steps=2, outline_steps=2, read_steps=2)
    first, second = ((tmp_path / name / DIGESTS).read_text() for name in ("first", "second"))
    assert first == second
    model = started(demo_with(tmp_path / "first"))
    assert all(p.isfinite().all() for p in model.parameters())
    assert "init: language, connector, regions from" in capfd.readouterr().out
    with pytest.raises(UserError, match="different shapes"):
        started(demo_with(tmp_path / "first", "model.overrides.sam2={hidden_dim: 128}"))


def test_the_committed_sam2_outlines_what_a_word_or_a_point_picks_out() -> None:
    """The words' own embeddings were thrown away, so only points and boxes can be asked here."""
    generator = torch.Generator().manual_seed(3)
    trained = started(demo_with(COMMITTED)).segmentation.eval()
    pictures = draw_pictures(generator, 16, trained.config.image_size)
    with torch.no_grad():
        words = Words(trained.config.hidden_dim)
        prompts, picture, masks = draw_prompts(pictures, trained, words, generator)
        blank = trained.sam.prompt_encoder.not_a_point_embed.weight
        placed = (prompts[:, 0] != blank[0]).any(-1)
        _, iou = losses(*candidates(trained, pictures.pixels, prompts, picture), masks)
    assert placed.sum() >= 4
    assert float(iou[placed].mean()) > 0.3


def test_the_memory_of_the_narrow_sam2_is_refused_with_a_reason() -> None:
    """transformers would fail with a shape in the middle of a video."""
    narrow = started(demo_with(COMMITTED)).segmentation
    frame = torch.zeros(3, 128, 128)
    with pytest.raises(UserError, match="hidden_dim is above"):
        next(propagate(narrow, lambda _: frame, 3, torch.zeros(1, 64), prompts=2))


def test_pictures_and_their_words_agree() -> None:
    pictures = draw_pictures(torch.Generator().manual_seed(1), 64, 56)
    areas = pictures.masks.flatten(2).sum(2)
    assert (areas[~pictures.there] == 0).all()
    assert (areas[pictures.there] > 0).float().mean() > 0.98
    assert (pictures.masks.sum(1) <= 1).all(), "visible parts do not overlap"
    assert set(pictures.there.sum(1).tolist()) == set(range(1, MOST + 1))
    words, names = truth(pictures, 14)
    assert (names.sum(1) == pictures.there.sum(1)).all()
    one = int((pictures.there.sum(1) == 1).nonzero()[0])
    named = words[one].any(0)
    assert named.sum() == 2
    assert named[pictures.colours[one, 0]]
    assert named[6 + pictures.shapes[one, 0]]
