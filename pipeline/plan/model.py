"""Size of the model, its loss weights and its random initialisation, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from pipeline.plan.base import Config
from pipeline.plan.section_errors import Problem


class Attention(StrEnum):
    """How vision tower and language model compute attention; chosen for each machine that runs the model.

    ``AUTO``: flash attention 2 where it can run (a CUDA device of compute capability 8.0 or newer, bf16,
    flash-attn installed), else torch's own kernels. ``FLASH`` refuses to train where it cannot run;
    evaluation and ``ufvideo predict`` take it as ``AUTO``. ``EAGER`` is plain and slow, for tests. SAM 2
    never takes flash attention.
    """

    AUTO = "auto"
    EAGER = "eager"
    SDPA = "sdpa"
    FLASH = "flash_attention_2"


class VisionConfig(Config):
    """SigLIP vision tower. ``select_layer`` counts hidden states as transformers does; -2 skips one."""

    hidden_size: int = Field(gt=0, description="Width of its states.")
    intermediate_size: int = Field(gt=0, description="Width of its feed-forward layers.")
    num_hidden_layers: int = Field(gt=0, description="Encoder layers.")
    num_attention_heads: int = Field(gt=0, description="Attention heads; they divide hidden_size.")
    image_size: int = Field(gt=0, description="Side of the square input, in pixels.")
    patch_size: int = Field(default=14, gt=0, description="Side of a patch, in pixels.")
    select_layer: int = Field(
        default=-2,
        description="The hidden state that the connector takes, counted as transformers does: -2 leaves "
        "out the last layer.",
    )

    @property
    def grid(self) -> int:
        """Patches along one side of a frame."""
        return self.image_size // self.patch_size

    @property
    def layers_used(self) -> int:
        """Encoder layers before the selected hidden state; the others have weights but never run."""
        states = self.num_hidden_layers + 1
        return self.select_layer if self.select_layer >= 0 else states + self.select_layer

    def problems(self) -> Iterator[Problem]:
        """Heads that do not divide the width, and a hidden state that does not exist."""
        yield from _division("vision", self, "num_attention_heads", "hidden_size")
        if not 0 <= self.layers_used <= self.num_hidden_layers:
            yield Problem(
                ("select_layer",),
                f"vision.select_layer {self.select_layer} is not a state of {self.num_hidden_layers} layers;"
                f" choose -{self.num_hidden_layers + 1} to {self.num_hidden_layers}",
            )


class ConnectorConfig(Config):
    """STC v3.5: ``depth`` RegNet blocks, a 3-d convolution with stride ``downsample``, ``depth`` more."""

    depth: int = Field(
        default=4, gt=0, description="RegNet blocks before the convolution, and as many behind it."
    )
    downsample: tuple[int, int, int] = Field(
        default=(2, 2, 2), description="Stride of the convolution over frames, rows and columns of patches."
    )
    squeeze_ratio: float = Field(
        default=0.25,
        gt=0,
        description="Width of the squeeze-and-excitation layers, as a share of the block's.",
    )


class RegionConfig(Config):
    """The tokens of an object on many frames are merged into at most ``tokens_per_region``."""

    tokens_per_region: int = Field(default=4, gt=0, description="The most tokens that one region takes.")


class LanguageConfig(Config):
    """Qwen2."""

    vocab_size: int = Field(
        gt=0, description="Rows of the word embeddings; init replaces it by the size of the plan's tokenizer."
    )
    hidden_size: int = Field(gt=0, description="Width of its states.")
    intermediate_size: int = Field(gt=0, description="Width of its feed-forward layers.")
    num_hidden_layers: int = Field(gt=0, description="Decoder layers.")
    num_attention_heads: int = Field(gt=0, description="Attention heads; they divide hidden_size.")
    num_key_value_heads: int = Field(
        gt=0, description="Heads of keys and values, shared by attention heads; they divide their number."
    )
    rope_theta: float = Field(default=1_000_000.0, description="Base of the rotary positions.")
    tie_word_embeddings: bool = Field(
        default=False, description="The output layer is the word embeddings themselves."
    )
    max_position_embeddings: int = Field(
        default=32_768, gt=0, description="The longest sequence, in tokens, those of the video included."
    )
    rms_norm_eps: float = Field(default=1e-6, description="Epsilon of its norms.")

    def problems(self) -> Iterator[Problem]:
        """Heads that do not divide the width, and heads of keys and values that do not divide the heads."""
        yield from _division("language", self, "num_attention_heads", "hidden_size")
        yield from _division("language", self, "num_key_value_heads", "num_attention_heads")


class Sam2Config(Config):
    """SAM 2.0 with a Hiera backbone, with its memory, which runs where ``prompted_frames`` is set."""

    image_size: int = Field(gt=0, description="Side of the square input, in pixels; a multiple of 32.")
    embed_dim: int = Field(gt=0, description="Width of Hiera's first stage; each further one doubles it.")
    num_heads: int = Field(gt=0, description="Attention heads of Hiera's first stage; doubled likewise.")
    stages: tuple[int, int, int, int] = Field(description="Blocks of Hiera's four stages.")
    global_att_blocks: tuple[int, ...] = Field(
        description="Blocks, counted from 0, that attend to the whole picture; none may open a stage."
    )
    window_spec: tuple[int, int, int, int] = Field(
        default=(8, 4, 16, 8), description="Side of the attention windows of the four stages."
    )
    hidden_dim: int = Field(default=256, gt=0, description="Width of FPN, prompts and mask decoder.")
    decoder_layers: int = Field(default=2, gt=0, description="Layers of the mask decoder.")
    decoder_mlp_dim: int = Field(
        default=2048, gt=0, description="Width of the mask decoder's feed-forward layers."
    )
    memory_layers: int = Field(default=4, gt=0, description="Layers of the memory attention.")
    memory_dim: int = Field(default=64, gt=0, description="Width of a memory.")
    num_maskmem: int = Field(
        default=7, gt=0, description="Memories that a frame looks at, prompted ones included."
    )

    def problems(self) -> Iterator[Problem]:
        """A picture size that Hiera's strides do not divide, and global attention where it is impossible."""
        if self.image_size % 32:
            yield Problem(("image_size",), f"sam2: 32 does not divide image_size {self.image_size}")
        starts = {sum(self.stages[:i]) for i in range(1, 4)}
        if bad := sorted(starts & set(self.global_att_blocks)):
            yield Problem(
                ("global_att_blocks",),
                f"sam2.global_att_blocks {bad} open a stage, where attention must be windowed",
            )
        if beyond := [b for b in self.global_att_blocks if b >= sum(self.stages)]:
            yield Problem(
                ("global_att_blocks",),
                f"sam2.global_att_blocks {beyond} are past the last of {sum(self.stages)} blocks",
            )


class LossWeights(Config):
    """Total = ce * CE + bce * BCE + dice * DICE."""

    ce: float = Field(default=1.0, description="Weight of the text's cross entropy.")
    bce: float = Field(default=2.0, description="Weight of the masks' binary cross entropy.")
    dice: float = Field(default=0.5, description="Weight of the masks' DICE loss.")


class InitConfig(Config):
    """Scales of random initialisation; loaded weights overwrite all of it.

    A model without pretrained towers learns nothing from the library's defaults (standard deviation 0.02
    everywhere): signals vanish before the mask decoder. ``linear_gain`` replaces that by
    gain / sqrt(fan in) in every linear and convolution layer outside SAM 2's image encoder; null keeps the
    library's defaults.
    """

    linear_gain: float | None = Field(
        default=None,
        description="Standard deviation of linear and convolution layers is this / sqrt(fan in), outside "
        "SAM 2's image encoder; null: 0.02, the library's.",
    )
    language_gain: float = Field(
        default=1.0,
        gt=0,
        description="Multiplies linear_gain in the language model: attention starts out sharper.",
    )
    embedding_std: float = Field(default=0.02, gt=0, description="Standard deviation of word embeddings.")
    position_std: float = Field(
        default=0.02, gt=0, description="Standard deviation of the vision tower's positions."
    )
    seg_head_gain: float = Field(default=1.0, gt=0, description="Multiplies the [SEG] head's last layer.")


class ModelConfig(Config):
    """Everything that determines the shapes of the model."""

    vision: VisionConfig = Field(description="The vision tower, SigLIP.")
    language: LanguageConfig = Field(description="The language model, Qwen2.")
    sam2: Sam2Config = Field(description="SAM 2, which predicts the masks.")
    connector: ConnectorConfig = Field(
        default=ConnectorConfig(),
        description="From the vision tower's patches to tokens of the language model.",
    )
    region: RegionConfig = Field(default=RegionConfig(), description="The encoder of regions.")
    num_frames: int = Field(default=32, gt=0, description="Frames of a video that the vision tower sees.")
    num_sam_frames: int = Field(default=4, gt=0, description="Frames of a sample on which masks are trained.")
    sam_frames_without_target: int = Field(
        default=0,
        ge=0,
        description="How many of num_sam_frames show none of the sample's targets, where so many are "
        "annotated: their masks are empty, so the model learns to leave such frames without a mask. 0 as "
        "published: only where too few frames show a target.",
    )
    loss: LossWeights = Field(default=LossWeights(), description="Weights of the losses.")
    init: InitConfig = Field(default=InitConfig(), description="Scales of randomly initialised weights.")
    attention: Attention = Field(
        default=Attention.AUTO,
        description="auto: flash attention 2 where it can run, else PyTorch's kernels; flash_attention_2: "
        "refuse to train where it cannot; sdpa: PyTorch's; eager: plain.",
    )

    @property
    def video_tokens(self) -> int:
        """Tokens of one video in the language model's sequence."""
        t, h, w = self.connector.downsample
        return (self.num_frames // t) * (self.vision.grid // h) * (self.vision.grid // w)

    def problems(self) -> Iterator[Problem]:
        """No token of a video is left after the connector; masks of frames without targets alone."""
        if self.sam_frames_without_target >= self.num_sam_frames:
            yield Problem(
                ("sam_frames_without_target",),
                f"sam_frames_without_target {self.sam_frames_without_target} leaves none of num_sam_frames"
                f" {self.num_sam_frames} for frames that show a target",
            )
        if self.video_tokens == 0:
            yield Problem(
                (),
                f"{self.num_frames} frames of {self.vision.grid} x {self.vision.grid} patches are too few for"
                f" connector.downsample {self.connector.downsample}",
            )


def _division(section: str, config: Config, divisor: str, number: str) -> Iterator[Problem]:
    """The problem of one value that does not divide another of its section."""
    by, of = getattr(config, divisor), getattr(config, number)
    if of % by:
        yield Problem((divisor,), f"{section}.{divisor} {by} does not divide {number} {of}")
