"""Floating-point operations of UFVideo, computed from its sizes. A multiply-add counts as two."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.plan.model import ConnectorConfig, LanguageConfig, ModelConfig, Sam2Config, VisionConfig


def vision(config: VisionConfig, frames: int) -> float:
    """The layers of the tower that are used, and its patch embedding."""
    tokens, width = config.grid**2, config.hidden_size
    embedding = tokens * 3 * config.patch_size**2 * width
    layer = tokens * width * (4 * width + 2 * config.intermediate_size) + 2 * tokens**2 * width
    return 2.0 * frames * (embedding + config.layers_used * layer)


def connector(config: ConnectorConfig, frames: int, grid: int, inner: int, width: int) -> float:
    """Two stages of bottlenecks, the 3-d convolution between them, and the readout."""
    times, side = frames // config.downsample[0], grid // config.downsample[1]
    places, tokens = frames * grid**2, times * side * (grid // config.downsample[2])

    def block(at: int, images: int, entering: int) -> float:
        mixed = at * width * (entering + width + 9)  # 1x1, 1x1 and depth-wise 3x3
        shortcut = at * width * entering if entering != width else 0
        return mixed + shortcut + images * 2 * width * round(entering * config.squeeze_ratio)

    first = block(places, frames, inner) + (config.depth - 1) * block(places, frames, width)
    second = config.depth * block(tokens, times, width)
    downsample = tokens * width**2 * config.downsample[0] * config.downsample[1] * config.downsample[2]
    return 2.0 * (first + downsample + second + 2 * tokens * width**2)


def language(config: LanguageConfig, lengths: Sequence[int], answers: int) -> float:
    """Causal attention within each sequence: each pair of tokens counts once.

    ``answers``: tokens whose logits are computed.
    """
    width = config.hidden_size
    keys = config.num_key_value_heads * (width // config.num_attention_heads)
    token = 2 * width * (width + keys) + 3 * width * config.intermediate_size
    seen = sum(n * (n + 1) / 2 for n in lengths)
    layers = config.num_hidden_layers * (sum(lengths) * token + 2 * seen * width)
    return 2.0 * (layers + answers * width * config.vocab_size)


def sam_encoder(config: Sam2Config, frames: int) -> float:
    """Hiera with padded windows, and the neck's 1x1 convolutions."""
    side, width = config.image_size // 4, config.embed_dim
    done = side**2 * 3 * 7**2 * width
    block = 0
    for stage, depth in enumerate(config.stages):
        for k in range(depth):
            grows = stage > 0 and k == 0
            # The first block of a stage has the window of the previous stage, and pools its queries.
            window = config.window_spec[stage - 1 if grows else stage]
            window = side if block in config.global_att_blocks else window
            filled = (-(-side // window) * window) ** 2
            out = 2 * width if grows else width
            queries, after = (filled // 4, side**2 // 4) if grows else (filled, side**2)
            done += filled * width * 3 * out + 2 * queries * window**2 * out + queries * out**2
            done += (side**2 * width * out if grows else 0) + after * 8 * out**2
            side, width, block = (side // 2, out, block + 1) if grows else (side, width, block + 1)
        done += side**2 * width * config.hidden_dim
    return 2.0 * frames * done


def training_step(
    config: ModelConfig, *, lengths: Sequence[int], answers: int, videos: int, sam_frames: int
) -> dict[str, float]:
    """Operations of the published recipe, by part: one forward pass if its weights are frozen, else three.

    Recomputation by gradient checkpointing is not counted. Not included, together less than 1 %: the
    mask decoder, the region encoder, norms and activations.
    """
    frames = videos * config.num_frames
    sizes = (config.num_frames, config.vision.grid, config.vision.hidden_size, config.language.hidden_size)
    return {
        "vision": vision(config.vision, frames),
        "connector": 3 * videos * connector(config.connector, *sizes),
        "language": 3 * language(config.language, lengths, answers),
        "SAM 2's encoder": sam_encoder(config.sam2, sam_frames),
    }
