"""Samples of different lengths: one packed row against rows padded to the longest."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.compare import Pair, main
from pipeline.plan.model import LanguageConfig
from training.model.language import Language
from training.model.packing import PackedRow, PackedSequences

_SIZES = LanguageConfig(
    vocab_size=512,
    hidden_size=256,
    intermediate_size=1024,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=2,
)
_LENGTHS = (48, 64, 96, 128, 192, 256, 384, 768)
_VIDEO = 338
_TEXT = (8, 16, 24, 40, 64, 96, 144, 256)

Step = tuple[Tensor, dict[str, Tensor]]


def rows(lengths: tuple[int, ...]) -> PackedSequences:
    """Sequences of random embeddings."""
    random = torch.Generator().manual_seed(0)
    return PackedSequences.of(
        [
            PackedRow(
                embeds=torch.randn(n, _SIZES.hidden_size, generator=random),
                labels=torch.zeros(n, dtype=torch.long),
            )
            for n in lengths
        ]
    )


def step(model: Language, packed: PackedSequences, packing: bool) -> Step:
    """Last hidden states of all tokens, and the gradients of a loss over all of them."""
    model.packing = packing
    model.zero_grad(set_to_none=True)
    hidden = model.hidden(packed)
    hidden.square().mean().backward()
    return hidden.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def same(a: Step, b: Step) -> bool:
    """States and gradients agree."""
    return (
        torch.allclose(a[0], b[0], atol=1e-4, rtol=1e-4)
        and a[1].keys() == b[1].keys()
        and all(torch.allclose(a[1][n], g, atol=1e-5, rtol=1e-3) for n, g in b[1].items())
    )


def pair(model: Language, what: str, lengths: tuple[int, ...]) -> Pair:
    """One set of lengths. Attention gains most: it is quadratic, and needs a mask for padded rows."""
    packed = rows(lengths)
    padded = len(lengths) * max(lengths)
    return Pair(
        what=f"{what}: {sum(lengths)} tokens, {padded} with padding ({padded / sum(lengths):.1f} times)",
        plain=lambda: step(model, packed, packing=False),
        ours=lambda: step(model, packed, packing=True),
        same=same,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Language(_SIZES, "sdpa").train()
    main(
        "packing",
        f"Forward and backward of a language model for {len(_LENGTHS)} samples, width {_SIZES.hidden_size}, "
        f"{_SIZES.num_hidden_layers} layers, float32, one thread: rows padded to the longest (plain) "
        "against one packed row (`training/model/packing.py`). Same states and gradients.",
        [
            pair(model, f"lengths {_LENGTHS[0]} to {_LENGTHS[-1]}", _LENGTHS),
            pair(
                model,
                f"a video of {_VIDEO} tokens and {_TEXT[0]} to {_TEXT[-1]} of text, an eighth of real ones",
                tuple(_VIDEO + n for n in _TEXT),
            ),
        ],
        repeats=4,
    )
