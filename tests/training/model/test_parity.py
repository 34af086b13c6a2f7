"""The model against stored numbers of the public reference."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.plan.model import Attention
from training.loop.losses import compute_losses
from training.model import parity
from training.model.connector import LayerNorm2d
from training.model.golden import GoldenCase, golden_batch, golden_model
from training.model.ufvideo import UFVideo

OUTPUTS = {
    *("vision_features", "video_tokens", "region_tokens", "region_token_counts"),
    *("expanded_labels", "attention_mask", "last_hidden", "logits", "mask_logits"),
    *("loss", "ce_loss", "mask_bce_loss", "mask_dice_loss"),
}


def test_every_output_and_loss_agrees_with_the_reference(golden_case: GoldenCase, reference: UFVideo):
    rows = parity.compare(golden_case, reference, compute_losses)
    assert {row.name for row in rows} == OUTPUTS
    assert [row for row in rows if not row.ok] == []


def test_sdpa_attention_agrees_with_the_reference_too(golden_case: GoldenCase):
    rows = parity.compare(golden_case, golden_model(golden_case, Attention.SDPA), compute_losses)
    assert [row for row in rows if not row.ok] == []


def test_a_wrong_constant_is_detected(golden_case: GoldenCase):
    model = golden_model(golden_case)
    for module in model.connector.modules():
        if isinstance(module, LayerNorm2d):
            module.eps = 1e-6
    assert "video_tokens" in {r.name for r in parity.compare(golden_case, model, compute_losses) if not r.ok}


def test_train_mode_keeps_the_best_candidate_mask(golden_case: GoldenCase, reference: UFVideo):
    batch = golden_batch(golden_case)
    with torch.no_grad():
        in_eval_mode = reference(batch).mask_logits
        in_train_mode = reference.train()(batch).mask_logits
    reference.eval()
    assert torch.equal(in_eval_mode[1], in_train_mode[1])


def test_frame_by_frame_masks_would_give_another_loss(golden_case: GoldenCase, reference: UFVideo):
    """The reference stacks its truth object by object and its predictions frame by frame."""
    batch = golden_batch(golden_case)
    with torch.no_grad():
        output = reference(batch)
    right = compute_losses(output, batch.gt_masks, reference.config.loss)
    mixed = [
        None if t is None else t.transpose(0, 1).flatten(0, 1).unflatten(0, t.shape[:2])
        for t in batch.gt_masks
    ]
    wrong = compute_losses(output, mixed, reference.config.loss)
    assert abs(right["dice"] - wrong["dice"]) > 1e-3


@pytest.mark.parametrize("missing", ["case.json", "io.npz", "parameters.tsv"])
def test_a_missing_file_is_reported_in_one_line_with_exit_code_2(tmp_path, capsys, missing: str):
    for name in {"case.json", "io.npz", "parameters.tsv"} - {missing}:
        (tmp_path / name).write_text("")
    assert parity.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert missing in error
    assert str(tmp_path) in error
    assert len(error.strip().splitlines()) == 1


def _changed_case(golden: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """A copy of the stored case with another case.json."""
    for file in (golden / "ufvideo-tiny").iterdir():
        shutil.copyfile(file, folder / file.name)
    case = json.loads((folder / "case.json").read_text())
    change(case)
    (folder / "case.json").write_text(json.dumps(case))
    return str(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda case: case["losses"].pop("ce_loss"), "lacks 'ce_loss'"),
        (lambda case: case.pop("region_token_num"), "lacks 'region_token_num'"),
        (lambda case: case["llm"].update(hidden_size="wide"), "hidden_size"),
    ],
)
def test_an_incomplete_case_is_reported_in_one_line_with_exit_code_2(
    golden, tmp_path, capsys, change, message: str
):
    assert parity.main([_changed_case(golden, tmp_path, change)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_stored_loss_of_zero_is_compared_absolutely(golden_case: GoldenCase, reference: UFVideo):
    def none(*_: Any) -> dict[str, torch.Tensor]:
        return dict.fromkeys(("total", "ce", "bce", "dice"), torch.tensor(2e-5))

    zero = dict.fromkeys(golden_case.case["losses"], 0.0)
    silent = dataclasses.replace(golden_case, case={**golden_case.case, "losses": zero})
    rows = {row.name: row for row in parity.compare(silent, reference, none)}
    assert rows["ce_loss"].largest == pytest.approx(2e-5)
    assert rows["ce_loss"].ok
    assert not rows["ce_loss"].relative


def test_a_difference_beyond_tolerance_gives_exit_code_1(golden, tmp_path, capsys):
    case = _changed_case(golden, tmp_path, lambda case: case["losses"].update(ce_loss=1.0))
    assert parity.main([case]) == 1
    printed = capsys.readouterr().out
    assert next(line for line in printed.splitlines() if "PAST" in line).startswith("ce_loss")
