"""The estimate of activations against what autograd really stores in one forward pass of the toy model."""

from __future__ import annotations

import pytest
import torch

from pipeline.estimate.activations import Pass, activations
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import CHECKPOINTED, Part
from pipeline.plan.presets import model_config
from pipeline.plan.training import StageConfig
from training.engine import compute_dtype
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.tokens import IGNORE, VIDEO_PLACEHOLDER, TokenIds
from training.stage.model_setup import set_up_model

SAMPLES, TEXT, ANSWER, OBJECTS, SIZE = 2, 40, 20, 3, (100, 150)
TOKENS = TokenIds(region=1000, seg=1001, eos=(2,), pad=0)


def _stage(**options: object) -> StageConfig:
    layout = {"workers": 1, "micro_batch": SAMPLES, **options.pop("layout")}
    return StageConfig.model_validate(
        {"name": "s", "global_batch": SAMPLES, "steps": 1, "layout": layout, **options}
    )


def _batch(config: ModelConfig) -> Batch:
    """Each sample has a video, a region, an answer with targets, and SAM frames."""
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 900, (SAMPLES, TEXT), generator=random)
    ids[:, 0], ids[:, 1], ids[:, -OBJECTS:] = VIDEO_PLACEHOLDER, TOKENS.region, TOKENS.seg
    labels = ids.clone()
    labels[:, : TEXT - ANSWER] = IGNORE
    side, sam, frames = config.vision.image_size, config.sam2.image_size, config.num_sam_frames
    return Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        labels=labels,
        video=torch.randn(SAMPLES, config.num_frames, 3, side, side, generator=random),
        has_video=[True] * SAMPLES,
        region_frames=[torch.randn(1, 3, side, side, generator=random) for _ in range(SAMPLES)],
        region_masks=[torch.ones(1, 20, 20, dtype=torch.bool)] * SAMPLES,
        region_frame_indices=[[[0]]] * SAMPLES,
        sam_frames=[torch.randn(frames, 3, sam, sam, generator=random) for _ in range(SAMPLES)],
        gt_masks=[
            (torch.rand(OBJECTS, frames, *SIZE, generator=random) > 0.5).float() for _ in range(SAMPLES)
        ],
    )


def _stored(config: ModelConfig, stage: StageConfig) -> int:
    """Bytes of all storages that autograd keeps, without weights and buffers."""
    torch.set_num_threads(1)
    dtype = compute_dtype(stage.layout.precision)
    model = build_model(config, TOKENS, seed=1, dtype=dtype)
    set_up_model(model, stage, seed=1)
    model.to(dtype)  # the adapters too, as DeepSpeed does
    model.set_attention(torch.device("cpu"), dtype)
    owned = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}  # holding the tensors, so that no address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    batch = _batch(config).to(torch.device("cpu"), dtype)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(batch)
        compute_losses(output, batch.gt_masks, config.loss)
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in owned)


OTHER = model_config(
    "toy",
    {
        "vision": {"intermediate_size": 96, "num_attention_heads": 2},
        "language": {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1},
        "connector": {"depth": 2, "downsample": [2, 1, 2]},
        "num_frames": 4,
    },
)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (
            model_config("toy"),
            {"train": list(Part), "layout": {"precision": "fp32", "gradient_checkpointing": []}},
        ),
        (
            model_config("toy"),
            {"train": list(Part), "layout": {"gradient_checkpointing": list(CHECKPOINTED)}},
        ),
        (OTHER, {"layout": {"gradient_checkpointing": ["connector"]}}),
        (OTHER, {"lora": {"targets": ["q_proj", "down_proj"]}, "layout": {"gradient_checkpointing": []}}),
    ],
    ids=["all parts", "all parts, checkpointed", "published, other sizes", "LoRA"],
)
def test_estimate_is_what_autograd_stores(config: ModelConfig, options: dict[str, object]) -> None:
    """Within 0.3%. What is left: ids and indices; statistics of norms, which a CPU keeps in bf16."""
    stage = _stage(**options)
    visual = config.video_tokens + TEXT - 1
    sizes = Pass(
        samples=SAMPLES,
        tokens=SAMPLES * visual,
        answers=SAMPLES * ANSWER,
        objects=SAMPLES * OBJECTS,
        mask_pixels=SIZE[0] * SIZE[1],
        region_frames=SAMPLES,
        region_tokens=SAMPLES,
    )
    found = activations(config, stage, sizes)
    b = 4 if stage.layout.precision == "fp32" else 2
    held_by_output = b * sizes.answers * config.language.vocab_size
    expected = sum(found.stored.values()) + found.logits - held_by_output
    if Part.VISION not in stage.train:  # else the pixels are stored for the first convolutions' gradients
        expected -= found.stored["inputs"]
    assert _stored(config, stage) == pytest.approx(expected, rel=0.003)
