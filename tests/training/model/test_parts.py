"""What is true of every part of the model."""

from __future__ import annotations

import pytest

from pipeline.plan.parts import CHECKPOINTED, COMPILED, PUBLISHED_TRAINED, Part
from pipeline.plan.plan import WeightsConfig
from pipeline.plan.presets import model_config
from training.model.build import build_model
from training.model.parts import PARTS, ROWS
from training.model.tokenizer import train_tokenizer
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.names import ALIAS, locate, part_of, to_published


@pytest.fixture(scope="module")
def model() -> UFVideo:
    tokenizer = train_tokenizer(["What colour is the square?"], vocab_size=300)
    config = model_config("toy", {"language": {"vocab_size": len(tokenizer)}})
    return build_model(config, TokenIds.of(tokenizer), seed=1)


def test_every_part_has_a_row_that_agrees_with_the_plan_s_constants():
    assert set(ROWS) == set(Part)
    assert {part for part, row in ROWS.items() if row.deep} == set(CHECKPOINTED)
    assert set(COMPILED) <= set(CHECKPOINTED)
    assert set(PUBLISHED_TRAINED) <= set(ROWS)


def test_the_keys_of_the_rows_are_the_weight_paths_of_the_plan():
    paths = {name for name, field in WeightsConfig.model_fields.items() if field.annotation == str | None}
    assert {key for row in ROWS.values() for key in row.keys} == paths
    assert all(row.keys[-1] == "whole" for row in ROWS.values() if row.keys)


def test_parts_share_no_parameter(model: UFVideo):
    owned = [id(p) for part in Part for p in model.part_parameters(part)]
    assert len(owned) == len(set(owned))
    assert all(model.part_parameters(part) for part in Part)


def test_every_tensor_belongs_to_one_part_by_either_name(model: UFVideo):
    for name in {*model.state_dict()} - {ALIAS}:
        part = part_of(name)
        assert part in PARTS
        assert {locate(published, PARTS)[0] for published in to_published(name)} == {part}
