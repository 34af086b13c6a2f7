"""Elements of every parameter tensor of UFVideo, by part, computed from its sizes.

The same numbers as ``training.stage.parts_table`` counts on the model itself, without torch; a test compares
the two. Constants are those of transformers' classes that no field of ``ModelConfig`` sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pipeline.plan.model import ConnectorConfig, LanguageConfig, ModelConfig, Sam2Config, VisionConfig
from pipeline.plan.parts import Part
from pipeline.plan.training import LoraConfig, LoraTarget

_COLOURS: Final = 3
_HIERA_PATCH: Final = 7  # side of Hiera's patches, and of its background position embedding
_HIERA_MLP: Final = 4
_PROMPT_CHANNELS: Final = (4, 16)
_POINT_KINDS: Final = 4
_MASK_TOKENS: Final = 4  # three candidates and the single mask
_MEMORY_INPUTS: Final = 64
_MEMORY_CHANNELS: Final = (1, 4, 16, 64, 256)
_FUSER_LAYERS: Final = 2
_FUSER_KERNEL: Final = 7


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """Elements of each tensor of a part."""

    every: tuple[int, ...]
    trained: tuple[int, ...]
    """those that change if the part is trained"""

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(self.every)


def part_sizes(config: ModelConfig, lora: LoraConfig | None = None) -> dict[Part | None, PartSize]:
    """The size of each part; under None what no part trains, but is stored and loaded all the same."""
    width, hidden = config.language.hidden_size, config.sam2.hidden_dim
    whole = {
        Part.VISION: [*_vision_used(config.vision)],
        Part.CONNECTOR: [*_connector(config.connector, config.vision.hidden_size, width)],
        Part.REGIONS: [*_linear(config.vision.hidden_size, width), *_linear(width, width)],
        Part.SEG_HEAD: [*_linear(width, width), *_linear(width, hidden)],
        Part.SAM_ENCODER: [*_sam_encoder(config.sam2)],
        Part.SAM_DECODER: [*_sam_decoder(config.sam2)],
    }
    sizes: dict[Part | None, PartSize] = {
        part: PartSize(every=tuple(tensors), trained=tuple(tensors)) for part, tensors in whole.items()
    }
    sizes[Part.LANGUAGE] = _language(config.language, lora)
    rest = (*_vision_idle(config.vision), *_sam_idle(config.sam2))
    sizes[None] = PartSize(every=rest, trained=())
    return sizes


def _linear(inner: int, outer: int, *, bias: bool = True) -> list[int]:
    return [inner * outer, outer] if bias else [inner * outer]


def _norm(width: int) -> list[int]:
    return [width, width]


def _mlp(inner: int, hidden: int, outer: int, layers: int) -> list[int]:
    between = _linear(hidden, hidden) * (layers - 2)
    return [*_linear(inner, hidden), *between, *_linear(hidden, outer)]


def _siglip_layer(config: VisionConfig) -> list[int]:
    width = config.hidden_size
    return [
        *_norm(width) * 2,
        *_linear(width, width) * 4,
        *_linear(width, config.intermediate_size),
        *_linear(config.intermediate_size, width),
    ]


def _vision_used(config: VisionConfig) -> Iterator[int]:
    yield from _linear(_COLOURS * config.patch_size**2, config.hidden_size)
    yield config.grid**2 * config.hidden_size
    yield from _siglip_layer(config) * config.layers_used


def _vision_idle(config: VisionConfig) -> Iterator[int]:
    """Layers past the selected one, the last norm and the pooling head."""
    width = config.hidden_size
    yield from _siglip_layer(config) * (config.num_hidden_layers - config.layers_used)
    yield from _norm(width) * 2
    yield width  # the head's probe
    yield from _linear(width, 3 * width)
    yield from _linear(width, width)
    yield from _mlp(width, config.intermediate_size, width, 2)


def _connector(config: ConnectorConfig, inner: int, width: int) -> Iterator[int]:
    def block(entering: int) -> list[int]:
        squeezed = round(entering * config.squeeze_ratio)
        return [
            *_linear(entering, width, bias=False),
            *_norm(width),
            9 * width,
            *_norm(width),
            *_linear(width, squeezed),
            *_linear(squeezed, width),
            *_linear(width, width, bias=False),
            *_norm(width),
            *([*_linear(entering, width, bias=False), *_norm(width)] if entering != width else []),
        ]

    times, rows, columns = config.downsample
    yield from block(inner)
    yield from block(width) * (2 * config.depth - 1)
    yield from _linear(width * times * rows * columns, width)
    yield from _linear(width, width) * 2


def _language(config: LanguageConfig, lora: LoraConfig | None) -> PartSize:
    """Qwen2: biases on queries, keys and values alone."""
    width, inner = config.hidden_size, config.intermediate_size
    keys = config.num_key_value_heads * (width // config.num_attention_heads)
    shapes = {
        LoraTarget.QUERY: (width, width),
        LoraTarget.KEY: (width, keys),
        LoraTarget.VALUE: (width, keys),
        LoraTarget.OUT: (width, width),
        LoraTarget.GATE: (width, inner),
        LoraTarget.UP: (width, inner),
        LoraTarget.DOWN: (inner, width),
    }
    with_bias = {LoraTarget.QUERY, LoraTarget.KEY, LoraTarget.VALUE}
    layer = [n for target, pair in shapes.items() for n in _linear(*pair, bias=target in with_bias)]
    layer += [width, width]  # two RMS norms
    ends = [config.vocab_size * width] * (1 if config.tie_word_embeddings else 2)
    whole = [*layer * config.num_hidden_layers, width, *ends]
    if lora is None:
        return PartSize(every=tuple(whole), trained=tuple(whole))
    adapters = [lora.rank * n for target in dict.fromkeys(lora.targets) for n in shapes[target]]
    adapters *= config.num_hidden_layers
    trained = [*adapters, *(ends if lora.train_embeddings else [])]
    return PartSize(every=(*whole, *adapters), trained=tuple(trained))


def hiera_blocks(config: Sam2Config) -> Iterator[tuple[int, int, int]]:
    """Stage, width of the input and width of the output of each block."""
    for stage, depth in enumerate(config.stages):
        width = config.embed_dim * 2**stage
        for k in range(depth):
            yield stage, width // 2 if stage > 0 and k == 0 else width, width


def _sam_encoder(config: Sam2Config) -> Iterator[int]:
    first = config.embed_dim
    yield from _linear(_COLOURS * _HIERA_PATCH**2, first)
    yield first * _HIERA_PATCH**2
    yield first * config.window_spec[0] ** 2
    for _, entering, width in hiera_blocks(config):
        yield from _norm(entering)
        yield from _linear(entering, 3 * width)
        yield from _linear(width, width)
        yield from _norm(width)
        yield from _mlp(width, _HIERA_MLP * width, width, 2)
        if entering != width:
            yield from _linear(entering, width)
    for stage in range(4):
        yield from _linear(first * 2**stage, config.hidden_dim)


def _attention(width: int, inner: int, keys: int | None = None) -> list[int]:
    entering = width if keys is None else keys
    return [
        *_linear(width, inner),
        *_linear(entering, inner) * 2,
        *_linear(inner, width),
    ]


def _sam_decoder(config: Sam2Config) -> Iterator[int]:
    width = config.hidden_dim
    for _ in range(config.decoder_layers):
        yield from _attention(width, width)
        yield from _attention(width, width // 2) * 2
        yield from _mlp(width, config.decoder_mlp_dim, width, config.decoder_layers)
        yield from _norm(width) * 4
    yield from _attention(width, width // 2)
    yield from _norm(width)
    yield from (width, _MASK_TOKENS * width, width)  # tokens: IoU, masks, object score
    yield from _transposed(width, width // 4)
    yield from _transposed(width // 4, width // 8)
    yield from _norm(width // 4)
    yield from _mlp(width, width, width // 8, 3) * _MASK_TOKENS
    yield from _linear(width, width // 8)
    yield from _linear(width, width // 4)


def _transposed(inner: int, outer: int) -> list[int]:
    """A transposed convolution, 2 x 2."""
    return [4 * inner * outer, outer]


def _sam_idle(config: Sam2Config) -> Iterator[int]:
    """Prompt encoder, memory, and the mask decoder's two heads of scores."""
    width, memory = config.hidden_dim, config.memory_dim
    yield from _mlp(width, width, _MASK_TOKENS, 3)
    yield from _mlp(width, width, 1, 3)
    small, large = _PROMPT_CHANNELS
    yield from (*_linear(4, small), *_linear(4 * small, large), *_linear(large, width))
    yield from (*_norm(small), *_norm(large))
    yield from (width, _POINT_KINDS * width, width)  # no mask, kinds of points, not a point
    yield from (width, width, config.num_maskmem * memory, width)  # what stands for missing memories
    yield from (4 * 4, 1)  # downsampling of a mask prompt
    yield from _mlp(width, width, width, 3)  # object pointers
    for _ in range(config.memory_layers):
        yield from _attention(width, width)
        yield from _attention(width, width, _MEMORY_INPUTS)
        yield from _linear(width, 8 * width)
        yield from _linear(8 * width, width)
        yield from _norm(width) * 3
    yield from _norm(width)
    yield from _memory_encoder(width, memory)


def _memory_encoder(width: int, memory: int) -> Iterator[int]:
    for inner, outer in pairwise(_MEMORY_CHANNELS):
        yield from (*_linear(9 * inner, outer), *_norm(outer))
    yield from _linear(_MEMORY_CHANNELS[-1], width)
    yield from _linear(width, width)
    for _ in range(_FUSER_LAYERS):
        yield from _linear(_FUSER_KERNEL**2, width)
        yield from _norm(width)
        yield width
        yield from _linear(width, 4 * width)
        yield from _linear(4 * width, width)
    yield from _linear(width, memory)
