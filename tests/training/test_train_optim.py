"""The published schedule, and the learning rate of each parameter group."""

from __future__ import annotations

import itertools

import pytest
import torch

from pipeline.plan.parts import Part
from pipeline.plan.training import OptimizerConfig
from training.loop.optim import lr_share, parameter_groups, set_lr


def test_warmup_is_linear_from_zero_and_the_cosine_ends_at_its_share() -> None:
    shares = [lr_share(s, 100, warmup_share=0.03, final_share=0.03) for s in range(100)]
    assert shares[:4] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert shares[-1] == pytest.approx(0.03)
    assert all(a >= b for a, b in itertools.pairwise(shares[3:]))
    assert shares[3 + 48] == pytest.approx((1 + 0.03) / 2, abs=0.01)


def test_without_warmup_the_first_step_has_the_peak() -> None:
    assert lr_share(0, 1, warmup_share=0, final_share=0.1) == 1
    with pytest.raises(ValueError, match="step 5 of 5"):
        lr_share(5, 5, warmup_share=0, final_share=0)


def test_parameters_are_grouped_by_part_and_weight_decay() -> None:
    matrix, bias, frozen = (torch.nn.Parameter(torch.zeros(*s)) for s in ((2, 2), (2,), (2, 2)))
    frozen.requires_grad_(False)
    config = OptimizerConfig(lr=1.0, part_lr={Part.SEG_HEAD: 3.0}, weight_decay=0.1)
    groups = parameter_groups(
        [(Part.LANGUAGE, matrix), (Part.LANGUAGE, bias), (Part.SEG_HEAD, matrix), (Part.SEG_HEAD, frozen)],
        config,
    )
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in groups] == [
        (1.0, 0.1, 1),
        (1.0, 0.0, 1),
        (3.0, 0.1, 1),
    ]
    set_lr(groups, [1.0, 1.0, 3.0], 0.5)
    assert [g["lr"] for g in groups] == [0.5, 0.5, 1.5]
