"""The count of parameters from sizes alone, against the model itself on the meta device."""

from __future__ import annotations

import pytest
from accelerate import init_empty_weights

from pipeline.estimate.parameters import part_sizes
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import Part
from pipeline.plan.presets import model_config
from pipeline.plan.training import StageConfig
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.stage.model_setup import set_up_model
from training.stage.parts_table import part_rows

_ODD = {
    "vision": {"select_layer": -1, "patch_size": 7},
    "language": {"tie_word_embeddings": True, "num_key_value_heads": 4},
    "connector": {"depth": 2, "downsample": [1, 2, 1], "squeeze_ratio": 0.3},
    "sam2": {
        "stages": [2, 1, 3, 2],
        "global_att_blocks": [4],
        "decoder_layers": 3,
        "memory_layers": 2,
        "num_maskmem": 5,
    },
}


def _stage(**options: object) -> StageConfig:
    layout = {"workers": 1, "micro_batch": 1}
    return StageConfig.model_validate(
        {"name": "s", "global_batch": 1, "steps": 1, "layout": layout, "train": list(Part), **options}
    )


@pytest.mark.parametrize(
    ("config", "lora"),
    [
        (model_config("toy"), None),
        (model_config("toy", _ODD), {"targets": ["q_proj", "k_proj", "down_proj"], "rank": 3}),
        (model_config("7b"), None),
    ],
    ids=["toy", "other sizes, LoRA", "7b"],
)
def test_parameters_are_those_of_the_model(config: ModelConfig, lora: dict[str, object] | None) -> None:
    """Every part: number of tensors, elements, trained elements; and every tensor's size."""
    stage = _stage(lora=lora)
    sizes = part_sizes(config, stage.lora)
    with init_empty_weights(include_buffers=True):
        model = UFVideo(config, TokenIds(region=0, seg=0, eos=(), pad=0))
    set_up_model(model, stage, seed=0)
    for row in part_rows(model, stage):
        size = sizes[Part(row.part) if row.part in list(Part) else None]
        expected = row.tensors, row.parameters, row.trainable
        assert (len(size.every), size.parameters, sum(size.trained)) == expected, row.part
    every = sorted(n for size in sizes.values() for n in size.every)
    assert every == sorted(p.numel() for p in model.parameters())
    assert sorted(n for size in sizes.values() for n in size.trained) == sorted(
        p.numel() for p in model.parameters() if p.requires_grad
    )
