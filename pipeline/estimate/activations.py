"""Bytes that autograd stores between the forward and the backward pass of one micro-batch.

Every tensor that an operation keeps for its gradient, once, as Korthikanti et al. count them for a plain
transformer ("Reducing Activation Recomputation in Large Transformer Models", arXiv:2205.05198, section 4),
here for the operations of this model's parts. A part whose ``gradient_checkpointing`` is on stores the input
of each layer alone, and one layer's tensors come back while it is computed again. The attention is a fused
kernel (flash attention or PyTorch's), which stores no matrix of scores. Index tensors are left out.

Width of tensors: ``b`` is the size of one number of the arithmetic, 2 bytes in bf16; norms of the language
model, cross entropy, masks and statistics are in fp32, 4 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.estimate.parameters import hiera_blocks
from pipeline.plan.layout import Precision
from pipeline.plan.model import ConnectorConfig, ModelConfig, Sam2Config
from pipeline.plan.parts import Part
from pipeline.plan.training import LoraConfig, LoraTarget, StageConfig

_FP32: Final = 4
_INDEX: Final = 8
_HEADS: Final = 8  # of SAM 2's mask decoder
_TOKENS: Final = 9  # of it: object score, IoU, four masks, two of an absent point, [SEG]
_MASK_TOKENS: Final = 4
OBJECTS: Final = 2
"""Targets of a sample that are assumed where nothing else is known."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Sizes of one forward pass."""

    samples: int
    tokens: int
    """of all its sequences, visual ones included"""
    answers: int
    """tokens with a loss"""
    objects: int
    """targets of all samples"""
    mask_pixels: int
    """of one ground-truth mask"""
    region_frames: int = 0
    region_tokens: int = 0

    @classmethod
    def largest(cls, config: ModelConfig, stage: StageConfig, objects: int = OBJECTS) -> Pass:
        """All samples have a video, masks and as many tokens as the stage allows, all of them answers.

        ``objects``: targets of each sample.
        """
        samples = stage.layout.micro_batch
        return cls(
            samples=samples,
            # The placeholder of the video, one of the text's tokens, is replaced.
            tokens=samples * (stage.max_text_tokens - 1 + config.video_tokens),
            answers=samples * stage.max_text_tokens,
            objects=samples * objects,
            mask_pixels=config.sam2.image_size**2,
        )


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Bytes of one pass on one worker."""

    stored: dict[str, int]
    """at the end of the forward pass, by part"""
    logits: int
    """of the text, stored for its loss or held by the output"""
    working: dict[str, int]
    """what is held besides for a moment; the largest of them counts"""

    @property
    def peak(self) -> int:
        """Of the whole pass."""
        return sum(self.stored.values()) + self.logits + max(self.working.values())


def activations(config: ModelConfig, stage: StageConfig, sizes: Pass) -> Activations:
    """The activations of one pass of a stage."""
    b = number_bytes(stage.layout.precision)
    again, trained = set(stage.layout.gradient_checkpointing), set(stage.train)
    frames = sizes.samples * config.num_frames + sizes.region_frames
    sam_frames, pairs = (n * config.num_sam_frames for n in (sizes.samples, sizes.objects))
    vision = Part.VISION in trained
    connector = vision or Part.CONNECTOR in trained
    # Gradients run through a frozen language model to what comes before it.
    language = Part.LANGUAGE in trained or connector or Part.REGIONS in trained
    stored, working = {"inputs": _inputs(config, frames, sam_frames, b)}, {}

    layer = _vision_layer(config, frames, b)
    if vision:
        per_layer = frames * config.vision.grid**2 * config.vision.hidden_size * b
        per_layer = per_layer if Part.VISION in again else layer
        stored["vision"] = config.vision.layers_used * per_layer
    working["vision"] = layer
    if connector:
        stored["connector"], working["connector"] = _connector(
            config, sizes.samples, b, Part.CONNECTOR in again
        )
    if language:
        stored["language"], working["language"] = _language(config, stage, sizes, b, Part.LANGUAGE in again)
    width = config.language.hidden_size
    stored["heads"] = b * 2 * sizes.objects * width
    stored["heads"] += b * sizes.region_tokens * (config.vision.hidden_size + 2 * width)
    # The patches of regions' frames lie in one tensor with those of the videos, which the connector stores.
    stored["heads"] += b * sizes.region_frames * config.vision.grid**2 * config.vision.hidden_size

    blocks, largest, again_sam = _sam_encoder(config.sam2, sam_frames, b)
    if Part.SAM_ENCODER in trained:
        stored["SAM 2's encoder"] = again_sam if Part.SAM_ENCODER in again else blocks
    working["SAM 2's encoder"] = largest
    stored["mask decoder"] = _sam_decoder(config.sam2, sam_frames, pairs, b)
    stored["mask losses"] = pairs * (3 * sizes.mask_pixels * _FP32 + 2 * _FP32)

    vocabulary = config.language.vocab_size
    # The output holds the logits, the loss their log-softmax in fp32; two gradients of that come and go.
    logits = sizes.answers * vocabulary * (b + _FP32)
    working["logits"] = sizes.answers * vocabulary * 2 * _FP32
    return Activations(stored=stored, logits=logits, working=working)


def number_bytes(precision: Precision) -> int:
    """Size of a weight or an activation."""
    return {Precision.FP32: 4, Precision.BF16: 2}[precision]


def _inputs(config: ModelConfig, frames: int, sam_frames: int, b: int) -> int:
    side, sam = config.vision.image_size, config.sam2.image_size
    return 3 * b * (frames * side**2 + sam_frames * sam**2)


def _vision_layer(config: ModelConfig, frames: int, b: int) -> int:
    """Inputs of two norms, of two groups of linear layers and of the activation; q, k, v and their result."""
    vision = config.vision
    tokens = frames * vision.grid**2
    statistics = _FP32 * tokens * (4 + vision.num_attention_heads)
    return b * tokens * (8 * vision.hidden_size + 2 * vision.intermediate_size) + statistics


def _connector(config: ModelConfig, videos: int, b: int, again: bool) -> tuple[int, int]:
    """Stored bytes of all blocks and what follows them; the bytes of one block."""
    connector, width = config.connector, config.language.hidden_size
    entering = config.vision.hidden_size
    times = connector.downsample[0]
    frames, places = videos * config.num_frames, videos * config.num_frames * config.vision.grid**2
    later, tokens = videos * (config.num_frames // times), videos * config.video_tokens
    first = _block(connector, frames, places, entering, width, b)
    second = _block(connector, frames, places, width, width, b)
    third = _block(connector, later, tokens, width, width, b)
    after = b * width * (places + 4 * tokens)  # the convolution's input, two activations, two linear layers
    if again:
        inputs = places * (entering + (connector.depth - 1) * width) + connector.depth * tokens * width
        return b * inputs + after, max(first, second)
    blocks = first + (connector.depth - 1) * second + connector.depth * third
    return blocks + after, 3 * b * places * width


def _block(config: ConnectorConfig, images: int, places: int, inner: int, outer: int, b: int) -> int:
    """A RegNet bottleneck: the inputs of its convolutions, norms, gates and activations."""
    squeezed = round(inner * config.squeeze_ratio)
    shortcut = inner != outer
    wide = places * (inner + (10 if shortcut else 9) * outer)
    gate = 2 * images * (outer + squeezed)
    return b * (wide + gate) + 2 * _FP32 * places * (4 if shortcut else 3)


def _language(config: ModelConfig, stage: StageConfig, sizes: Pass, b: int, again: bool) -> tuple[int, int]:
    """Stored bytes of all layers and the output layer's input; the bytes of one layer and two gradients."""
    language = config.language
    trained = Part.LANGUAGE in stage.train
    whole = trained and stage.lora is None
    lora = stage.lora if trained else None
    head = language.hidden_size // language.num_attention_heads
    width, inner, tokens = language.hidden_size, language.intermediate_size, sizes.tokens
    layer = _language_layer(config, tokens, b, whole=whole, lora=lora)
    norm = tokens * (width * (_FP32 + (b if whole else 0)) + _FP32)
    ends = whole or (lora is not None and lora.train_embeddings)
    after = norm + (b * sizes.answers * width if ends else 0)
    gradients = 2 * b * tokens * inner
    if again:
        return language.num_hidden_layers * b * tokens * width + after, layer + gradients
    rotary = 2 * b * tokens * head
    return language.num_hidden_layers * layer + rotary + after, gradients


def _language_layer(config: ModelConfig, tokens: int, b: int, *, whole: bool, lora: LoraConfig | None) -> int:
    """A frozen linear layer stores nothing; an adapter stores its input, as a trained layer does."""
    language = config.language
    width, inner, heads = language.hidden_size, language.intermediate_size, language.num_attention_heads
    keys = language.num_key_value_heads * (width // heads)
    targets = set(LoraTarget) if whole else set(lora.targets) if lora else set()
    shared = (
        {LoraTarget.QUERY, LoraTarget.KEY, LoraTarget.VALUE},
        {LoraTarget.OUT},
        {LoraTarget.GATE, LoraTarget.UP},
    )
    inputs = width * sum(bool(group & targets) for group in shared)
    inputs += inner * (LoraTarget.DOWN in targets)
    if whole:
        inputs += 2 * width  # normalised states, for the norms' own weights
    elif lora:
        inputs += lora.rank * len(targets)
    attention = 2 * width + 2 * keys  # queries and the result; keys and values
    statistics = _FP32 * (2 * width + 2 + heads)  # the norms' inputs, in fp32
    return tokens * (b * (inputs + attention + 3 * inner) + statistics)


def _sam_encoder(config: Sam2Config, frames: int, b: int) -> tuple[int, int, int]:
    """Stored bytes of all blocks of Hiera, those of the largest block, and the inputs of all blocks alone."""
    side, whole, inputs, largest = config.image_size // 4, 0, 0, 0
    previous = 0
    for at, (stage, entering, width) in enumerate(hiera_blocks(config)):
        grows = entering != width
        # The first block of a stage has the window of the previous stage, and pools its queries.
        window = side if at in config.global_att_blocks else config.window_spec[previous if grows else stage]
        filled = frames * (-(-side // window) * window) ** 2
        before = frames * side**2
        side = side // 2 if grows else side
        after, queries = frames * side**2, filled // 4 if grows else filled
        heads = config.num_heads * 2**stage
        block = b * (before * entering + filled * entering + 4 * filled * width + queries * width)
        block += _FP32 * (filled * heads**2 + queries * heads + 2 * before + 2 * after)
        block += b * after * 10 * width
        if grows:  # the shortcut and the queries are pooled
            block += b * (before * (entering + width) + queries * width) + _INDEX * width * (after + queries)
        inputs += b * before * entering
        whole, largest, previous = whole + block, max(largest, block), stage
    last = b * frames * side**2 * config.embed_dim * 8
    return whole + last, largest, inputs + last


def _sam_decoder(config: Sam2Config, frames: int, pairs: int, b: int) -> int:
    """The two-way transformer over places of stride 16, and the upscaling to stride 4.

    ``pairs`` of object and frame. Counted as trained; a frozen one stores about half.
    """
    width, places = config.hidden_dim, (config.image_size // 16) ** 2
    tokens = _TOKENS
    fine = b * frames * 20 * places * width  # inputs of the convolutions on strides 4 and 8
    layer = b * (6 * places * width + tokens * (14 * width + config.decoder_mlp_dim))
    layer += _FP32 * (2 * places + _HEADS * places + 2 * 3 * tokens + 2 * _HEADS * tokens)
    final = b * 3 * (places + tokens) * width + _FP32 * (_HEADS * tokens + 2 * tokens)
    upscaled = b * 7 * places * width + _FP32 * 2 * 4 * places
    heads = b * (tokens * width + 2 * (_MASK_TOKENS + 2) * width + _MASK_TOKENS * (width // 8 + 1))
    return fine + pairs * (config.decoder_layers * layer + final + upscaled + heads)
