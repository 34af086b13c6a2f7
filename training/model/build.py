"""Builds the model and initialises it from a seed."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from pipeline.plan.model import InitConfig, ModelConfig
from pipeline.plan.parts import Part
from training.model.parts import PARTS
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.names import part_of

_DENSE = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


def build_model(
    config: ModelConfig,
    tokens: TokenIds,
    *,
    seed: int,
    filled: Collection[Part] = (),
    dtype: torch.dtype = torch.float32,
) -> UFVideo:
    """A new model; the same arguments give the same weights. The state of the global generator is restored.

    ``filled``: parts whose weights will be loaded; they are allocated in ``dtype``, like the rest, but not
    initialised.

    Raises ValueError if a token id is outside the vocabulary.
    """
    largest = max(tokens.region, tokens.seg, tokens.pad, *tokens.eos)
    if largest >= config.language.vocab_size:
        raise ValueError(
            f"language.vocab_size {config.language.vocab_size} has no row for token id {largest};"
            f" set it to at least {largest + 1}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if filled:
            return _build_partly(config, tokens, frozenset(filled), dtype)
        model = UFVideo(config, tokens)
        initialise(model, config.init)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def _build_partly(
    config: ModelConfig, tokens: TokenIds, filled: frozenset[Part], dtype: torch.dtype
) -> UFVideo:
    """Builds the model without random weights for the ``filled`` parts, to save memory."""
    # Buffers that the configuration fixes are in no checkpoint, so only parameters start out empty.
    with init_empty_weights(include_buffers=False):
        model = UFVideo(config, tokens)
    begun: dict[str, Tensor] = {}
    if not filled.issuperset(PARTS):
        small = config.language.model_copy(update={"num_hidden_layers": 1, "vocab_size": 1})
        language = small if Part.LANGUAGE in filled else config.language
        other = UFVideo(config.model_copy(update={"language": language}), tokens)
        initialise(other, config.init)
        begun = {name: t for name, t in other.state_dict().items() if part_of(name) not in filled}
        del other
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, tensor in model.state_dict().items():
        if name not in begun:
            kind = dtype if name in parameters else tensor.dtype
            begun[name] = torch.empty(tensor.shape, dtype=kind) if tensor.is_meta else tensor
        elif name in parameters:
            begun[name] = begun[name].to(dtype)
    model.load_state_dict(begun, assign=True)
    model.language.lm.tie_weights()
    return model


@torch.no_grad()
def initialise(model: UFVideo, init: InitConfig) -> None:
    """Applies ``InitConfig`` with torch's global generator; all else keeps the library's defaults."""
    sam = model.segmentation.sam
    if init.linear_gain is not None:
        language = set(model.language.modules())
        # SAM 2's image encoder trains best from its own defaults (measured: docs/learning.md).
        own = set(sam.vision_encoder.modules())
        for module in model.modules():
            if isinstance(module, _DENSE) and module not in own:
                # Uniform attention averages a hundred tokens: one word of the question is then a hundredth of
                # the state that predicts [SEG], too little for the mask decoder to use.
                gain = init.linear_gain * (init.language_gain if module in language else 1.0)
                nn.init.normal_(module.weight, std=gain / math.sqrt(_fan_in(module)))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    nn.init.normal_(model.language.lm.get_input_embeddings().weight, std=init.embedding_std)
    nn.init.normal_(model.vision.tower.embeddings.position_embedding.weight, std=init.position_std)
    last = model.segmentation.head[-1]
    assert isinstance(last, nn.Linear)
    last.weight.mul_(init.seg_head_gain)


def _fan_in(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, nn.Parameter)
    # A transposed convolution with stride = kernel sums over its input channels alone.
    return weight.shape[0] if isinstance(module, nn.ConvTranspose2d) else weight[0].numel()
