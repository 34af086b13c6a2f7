"""A training step of a batch in which half the samples have masks: SAM 2 for those only, or for all."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks import flops
from benchmarks.compare import Pair, main
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import PUBLISHED_TRAINED, Part
from pipeline.plan.presets import model_config, published_7b
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.tokens import IGNORE, VIDEO_PLACEHOLDER, TokenIds
from training.model.ufvideo import UFVideo

_TOKENS = TokenIds(region=50, seg=51, eos=(2,), pad=0)
_SAMPLES, _QUESTION, _ANSWER = 8, 20, 12
_HEIGHT, _WIDTH = 128, 160

Step = tuple[float, dict[str, Tensor]]


def make_batch(config: ModelConfig) -> Batch:
    """Every second sample has one [SEG] in its answer, SAM frames and their masks."""
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 50, (_SAMPLES, 1 + _QUESTION + _ANSWER), generator=random)
    ids[:, 0] = VIDEO_PLACEHOLDER
    ids[::2, -2] = _TOKENS.seg
    labels = ids.clone()
    labels[:, : 1 + _QUESTION] = IGNORE
    side, sam = config.vision.image_size, config.sam2.image_size
    frames = torch.randn(_SAMPLES, config.num_sam_frames, 3, sam, sam, generator=random)
    truth = (torch.rand(_SAMPLES, 1, config.num_sam_frames, _HEIGHT, _WIDTH, generator=random) > 0.7).float()
    return Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        labels=labels,
        video=torch.randn(_SAMPLES, config.num_frames, 3, side, side, generator=random),
        sam_frames=[f if i % 2 == 0 else None for i, f in enumerate(frames)],
        gt_masks=[t if i % 2 == 0 else None for i, t in enumerate(truth)],
    )


def step(model: UFVideo, batch: Batch, dummies: Tensor | None) -> Step:
    """Loss and gradients of forward and backward.

    ``dummies`` [N, F, 3, S, S]: frames of the samples without masks, which go through SAM 2 with an embedding
    of zeros; the output has zero weight, as in the published code.
    """
    model.zero_grad(set_to_none=True)
    loss = compute_losses(model(batch), batch.gt_masks, model.config.loss)["total"]
    if dummies is not None:
        count, frames = dummies.shape[:2]
        features = model.segmentation.encode(dummies.flatten(0, 1))
        zeros = features.coarse_F.new_zeros(count * frames, model.config.sam2.hidden_dim)
        logits = model.segmentation.decode_pairs(features, torch.arange(count * frames), zeros)
        loss = loss + 0.0 * logits.sum()
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def same(a: Step, b: Step) -> bool:
    """Losses and gradients agree."""
    return (
        abs(a[0] - b[0]) < 1e-5
        and a[1].keys() == b[1].keys()
        and all(torch.allclose(a[1][n], g, atol=1e-5, rtol=1e-4) for n, g in b[1].items())
    )


def pair(what: str, parts: tuple[Part, ...], config: ModelConfig) -> Pair:
    """One choice of trained parts."""
    model = build_model(config, _TOKENS, seed=0).train()
    model.set_trainable(parts)
    batch = make_batch(config)
    without = sum(f is None for f in batch.sam_frames)
    side = config.sam2.image_size
    dummies = torch.randn(without, config.num_sam_frames, 3, side, side)
    return Pair(
        what=what,
        plain=lambda: step(model, batch, dummies),
        ours=lambda: step(model, batch, None),
        same=same,
    )


def published_share() -> float:
    """SAM 2's share of the operations of the 7B model's step, if it runs for every sample."""
    config, text, answer = published_7b(), 300, 200
    parts = flops.training_step(
        config,
        lengths=[config.video_tokens + text],
        answers=answer,
        videos=1,
        sam_frames=config.num_sam_frames,
    )
    return parts["SAM 2's encoder"] / sum(parts.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    published = published_share()
    toy = model_config("toy", {"language": {"vocab_size": 64}})
    # As in plans/demo.yaml.
    demo = {"num_frames": 16, "num_sam_frames": 2, "connector": {"depth": 1}}
    main(
        "model_step",
        f"{_SAMPLES} samples, every second one with a mask on its SAM frames; forward and backward, float32, "
        "one thread. Plain: SAM 2 runs for every sample, as in the published code. The aim is 1.5. A ratio r "
        "says that SAM 2 took 2 (1 - 1/r) of plain's time: most of it at these sizes. At the published sizes "
        f"its encoder is {published:.0%} of plain's arithmetic (`benchmarks/flops.py`), which leaves a ratio "
        f"of {1 / (1 - published / 2):.2f} to gain.",
        [
            pair(
                f"toy size, {toy.num_frames} + {toy.num_sam_frames} frames; the published recipe's parts",
                PUBLISHED_TRAINED,
                toy,
            ),
            pair(
                "the demo's size and parts (all), 16 + 2 frames",
                tuple(Part),
                model_config("toy", {"language": {"vocab_size": 64}, **demo}),
            ),
        ],
    )
