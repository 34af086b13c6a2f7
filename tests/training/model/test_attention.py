"""Which attention implementation runs where, and that a model is not tied to one before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from pipeline.plan.model import Attention, ModelConfig
from training.model.attention import built_with, implementation
from training.model.batch import Batch
from training.model.build import build_model
from training.model.packing import VARLEN_SDPA
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import load_model, save_model

VIDEO = -201
CPU = torch.device("cpu")
A100 = {"device": "cuda", "capability": (8, 0), "dtype": torch.bfloat16, "installed": True}
FLASH = "flash_attention_2"


def attention_in_use(model: UFVideo) -> tuple[str, str, str]:
    """The implementations that transformers' classes use now: vision tower, language model, SAM 2."""
    parts = (model.vision.tower, model.language.lm.model, model.segmentation.sam)
    return tuple(part.config._attn_implementation for part in parts)  # type: ignore[return-value]


@torch.no_grad()
def hidden_states(model: UFVideo, batch: Batch, packing: bool) -> torch.Tensor:
    """Hidden hidden_states [S, D]."""
    model.language.packing = packing
    return model(batch).hidden


@pytest.mark.parametrize(
    ("where", "auto", "flash"),
    [
        ({}, FLASH, FLASH),
        ({"dtype": torch.float16}, FLASH, FLASH),
        ({"capability": (9, 0)}, FLASH, FLASH),
        ({"capability": (7, 5)}, "sdpa", r"compute capability is 7\.5, and it needs 8\.0"),
        ({"dtype": torch.float32}, "sdpa", r"arithmetic is float32.*precision: bf16"),
        ({"installed": False}, "sdpa", r"not installed.*make install-gpu"),
        ({"device": "cpu", "capability": (0, 0)}, "sdpa", r"runs on cpu.*Set use_gpu"),
    ],
)
def test_flash_attention_runs_where_all_of_its_requirements_are_met(where, auto: str, flash: str) -> None:
    """Fails if a requirement is forgotten, or if the error names one that is met."""
    place = A100 | where
    assert implementation(Attention.AUTO, **place) == auto
    assert implementation(Attention.FLASH, **place, required=False) == auto
    if flash == FLASH:
        assert implementation(Attention.FLASH, **place) == FLASH
    else:
        with pytest.raises(UserError, match=rf"model\.overrides\.attention: .*{flash}.*auto or sdpa"):
            implementation(Attention.FLASH, **place)
    assert implementation(Attention.SDPA, **place) == "sdpa"
    assert implementation(Attention.EAGER, **place) == "eager"
    assert [built_with(choice) for choice in Attention] == ["sdpa", "eager", "sdpa", "sdpa"]


def test_a_model_that_names_flash_attention_is_built_saved_and_loaded_on_a_cpu(
    toy_config: ModelConfig, tokens, tmp_path: Path
) -> None:
    """Fails if the choice breaks a head node without a GPU, or a later evaluation of the weights on a CPU."""
    config = toy_config.model_copy(update={"attention": Attention.FLASH})
    save_model(build_model(config, tokens, seed=5), tmp_path)
    model = load_model(tmp_path)
    assert model.config.attention is Attention.FLASH
    assert attention_in_use(model) == ("sdpa", VARLEN_SDPA, "sdpa")
    with pytest.raises(UserError, match="runs on cpu"):
        model.set_attention(CPU, torch.float32)
    assert model.set_attention(CPU, torch.float32, required=False) == "sdpa"


@pytest.mark.parametrize("choice", [Attention.EAGER, Attention.AUTO])
def test_attention_set_at_run_time_also_applies_to_packed_sequences(
    toy_config: ModelConfig, tokens, text_batch, choice: Attention
) -> None:
    """Fails if packing uses the attention that the model was built with: neighbours would see each other."""
    other = Attention.AUTO if choice is Attention.EAGER else Attention.EAGER
    model = build_model(toy_config.model_copy(update={"attention": other}), tokens, seed=5).train()
    before = attention_in_use(model)
    model.config = model.config.model_copy(update={"attention": choice})
    assert model.set_attention(CPU, torch.float32) == built_with(choice)
    after = attention_in_use(model)
    assert after[:2] == (("eager", "eager") if choice is Attention.EAGER else ("sdpa", VARLEN_SDPA))
    assert after[2] == before[2]
    batch: Batch = text_batch([[5, VIDEO], [6, VIDEO, *range(5, 25)]], [[3, 2], [11, 12, 2]])
    padded, packed = (hidden_states(model, batch, packing) for packing in (False, True))
    torch.testing.assert_close(packed, padded, atol=2e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("packing", [False, True])
def test_flash_attention_gives_the_hidden_states_of_torch_s_kernels(
    toy_config: ModelConfig, tokens, text_batch, packing: bool
) -> None:
    """Fails if flash attention is set but does not get the lengths of the packed sequences."""
    pytest.importorskip("flash_attn")
    device = torch.device("cuda")
    model = build_model(toy_config, tokens, seed=5).to(device, torch.bfloat16).train()
    batch = text_batch([[5, VIDEO], [6, VIDEO, *range(5, 25)]], [[3, 2], [11, 12, 2]])
    batch = batch.to(device, torch.bfloat16)
    expected = hidden_states(model, batch, packing)
    assert model.set_attention(device, torch.bfloat16) == FLASH
    assert attention_in_use(model) == (FLASH, FLASH, "sdpa")
    torch.testing.assert_close(hidden_states(model, batch, packing), expected, atol=0.1, rtol=0.05)
