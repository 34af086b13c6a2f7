"""The arguments that flash attention gets, checked by plain stand-ins for its two functions.

flash-attn needs a GPU; everything around the two kernels is real, including transformers' part. The kernels
themselves are compared with torch's where there is a GPU (test_attention.py).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers.modeling_flash_attention_utils as flash_utils
from torch import Tensor
from torch.nn import functional as F

from pipeline.plan.model import LossWeights, ModelConfig
from pipeline.plan.parts import Part
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.ufvideo import UFVideo

VIDEO = -201
PROMPTS = [[5, VIDEO], [6, VIDEO, *range(5, 45)], [7, 8, VIDEO, 9]]


def attention_by_definition(query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float) -> Tensor:
    """[n, H, d] of one sequence. The last query sees the last key, as in flash-attn from 2.1 on."""
    q, k, v = (x.transpose(0, 1)[None] for x in (query, key, value))
    n, m = q.shape[-2], k.shape[-2]
    mask = torch.ones(n, m, dtype=torch.bool).tril(m - n) if causal else None
    gqa = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=gqa)[0].transpose(
        0, 1
    )


class Kernels:
    """flash_attn_func and flash_attn_varlen_func, and the lengths that the second was called with."""

    def __init__(self) -> None:
        self.lengths: list[list[int]] = []

    def whole(
        self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, softmax_scale: float, **_: Any
    ) -> Tensor:
        rows = zip(q, k, v, strict=True)
        return torch.stack([attention_by_definition(*row, causal, softmax_scale) for row in rows])

    def varlen(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        cu_seqlens_q: Tensor,
        cu_seqlens_k: Tensor,
        max_seqlen_q: int,
        max_seqlen_k: int,
        causal: bool,
        softmax_scale: float,
        **_: Any,
    ) -> Tensor:
        sizes = []
        for x, ends, longest in ((q, cu_seqlens_q, max_seqlen_q), (k, cu_seqlens_k, max_seqlen_k)):
            # The kernel reads 32-bit numbers, and does not see anything beyond its longest sequence.
            assert ends.dtype == torch.int32
            assert (int(ends[0]), int(ends[-1])) == (0, len(x))
            assert int(ends.diff().max()) == int(longest)
            sizes.append(ends.diff().tolist())
        self.lengths.append(sizes[0])
        rows = zip(q.split(sizes[0]), k.split(sizes[1]), v.split(sizes[1]), strict=True)
        return torch.cat([attention_by_definition(*row, causal, softmax_scale) for row in rows])


def kernel_arguments(
    query_length: int,
    key_length: int,
    is_causal: bool,
    dropout: float = 0.0,
    softmax_scale: float | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """The arguments with which transformers calls both kernels of flash-attn 2."""
    longest = {name: value for name, value in rest.items() if name.startswith("max_seqlen")}
    return {"causal": is_causal, "dropout_p": dropout, "softmax_scale": softmax_scale} | longest


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Kernels:
    made = Kernels()
    functions = (made.whole, made.varlen, None, flash_utils._pad_input, flash_utils._unpad_input)
    monkeypatch.setattr(
        flash_utils, "lazy_import_flash_attention", lambda *_, **__: (functions, (kernel_arguments, None))
    )
    return made


@pytest.fixture
def pair(toy_config: ModelConfig, tokens, kernels: Kernels) -> SimpleNamespace:
    """One model with torch's attention and one, with the same weights, with flash attention."""
    torch_s, flash = (build_model(toy_config, tokens, seed=5).train() for _ in range(2))
    for part in (flash.language.lm, flash.language.lm.model, flash.vision.tower):
        part.config._attn_implementation = "flash_attention_2"  # its setter asks for the package
    return SimpleNamespace(torch=torch_s, flash=flash)


def states_and_gradients(model: UFVideo, batch: Batch, packing: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Hidden states and gradients."""
    model.language.packing = packing
    model.zero_grad(set_to_none=True)
    output = model(batch)
    compute_losses(output, [], LossWeights())["total"].backward()
    return output.hidden.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("packing", [False, True])
def test_states_and_gradients_are_those_of_torch_s_attention(
    pair: SimpleNamespace, text_batch, kernels: Kernels, packing: bool, checkpointed: bool
) -> None:
    """Fails if the sequence lengths are wrong, do not reach the kernel, or are lost when a layer is rerun."""
    batch = text_batch(PROMPTS, [[3, 2], [11, 12, 13, 2], [2]])
    hidden, gradients = states_and_gradients(pair.torch, batch, packing)
    if checkpointed:
        pair.flash.gradient_checkpointing([Part.LANGUAGE])
    states, found = states_and_gradients(pair.flash, batch, packing)
    torch.testing.assert_close(states, hidden, atol=2e-5, rtol=1e-5)
    assert found.keys() == gradients.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, gradients[name], atol=2e-5, rtol=1e-4, msg=name)
    lengths = list(pair.flash(batch).lengths)
    assert kernels.lengths
    assert all(called == lengths for called in kernels.lengths)


def test_answers_of_a_left_padded_batch_are_those_of_torch_s_attention(
    pair: SimpleNamespace, text_batch
) -> None:
    """Fails if padding is attended to, in the prompt or in the key-value cache."""
    batch = text_batch([[5, VIDEO, 7, 8, 9, 10], [6, VIDEO], [11, 12, VIDEO, 13]], [[], [], []])
    expected, answers = (model.eval().generate(batch, 12).tokens for model in (pair.torch, pair.flash))
    assert [row.tolist() for row in answers] == [row.tolist() for row in expected]
    assert len({tuple(row.tolist()) for row in answers}) == len(answers)
