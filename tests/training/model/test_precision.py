"""bfloat16 as training runs it, weights and pixels included, and as evaluation on a GPU does, under autocast.

CPUs support both, so a tensor of the wrong dtype is found without a GPU.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pipeline.plan.model import LossWeights, ModelConfig
from pipeline.plan.parts import PUBLISHED_TRAINED
from pipeline.plan.presets import published_7b
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.propagation import propagate
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

VIDEO, REGION, SEG, END = -201, 50, 51, 2
BF16 = torch.bfloat16


def cooperative(text_batch, config: ModelConfig, frames: int = 4) -> Batch:
    """A question with a region and two [SEG], and one without any."""
    batch = text_batch([[5, VIDEO, REGION, 7], [6, VIDEO, 8, 9]], [[9, SEG, 4, SEG, END], [10, 11, END]])
    generator = torch.Generator().manual_seed(12)
    see, side = config.vision.image_size, config.sam2.image_size
    pictures = [torch.randn(n, 3, see, see, generator=generator) for n in (2, 0)]
    return dataclasses.replace(
        batch,
        region_frames=pictures,
        region_masks=[torch.rand(len(p), 30, 40, generator=generator) > 0.6 for p in pictures],
        region_frame_indices=[[[0, 1]], []],
        sam_frames=[torch.randn(frames, 3, side, side, generator=generator), None],
        gt_masks=[torch.rand(2, frames, 45, 80, generator=generator) > 0.6, None],
    )


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_training_in_bf16_has_the_losses_of_fp32(
    toy: UFVideo, toy_config: ModelConfig, tokens: TokenIds, text_batch, packing: bool
):
    """Catches a loss that is computed in bf16, and a tensor that is left in fp32 among others in bf16."""
    half = build_model(toy_config, tokens, seed=5, dtype=BF16).train()
    half.set_trainable(PUBLISHED_TRAINED)
    half.language.packing = packing
    batch = cooperative(text_batch, toy_config)
    with torch.no_grad():
        expected = compute_losses(toy(batch), batch.gt_masks, LossWeights())
    moved = batch.to("cpu", BF16)
    losses = compute_losses(half(moved), moved.gt_masks, LossWeights())
    losses["total"].backward()
    for name, loss in losses.items():
        assert loss.dtype == torch.float32, name
        torch.testing.assert_close(loss.detach(), expected[name], atol=0.02, rtol=0.03, msg=name)
    trained = [p for p in half.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.dtype == BF16 and p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize("dtype", [torch.float32, BF16], ids=["stored fp32", "stored bf16"])
def test_answers_under_autocast_are_close_to_those_of_fp32(
    toy: UFVideo, toy_config: ModelConfig, tokens: TokenIds, text_batch, dtype: torch.dtype
):
    """Catches what autocast does not reach: embeddings, SAM 2's prompts and features, and its memory."""
    model = build_model(toy_config, tokens, seed=5, dtype=dtype).eval()
    with torch.no_grad():
        model.segmentation.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(100.0)
    side = toy_config.sam2.image_size
    generator = torch.Generator().manual_seed(13)
    frames = torch.randn(5, 3, side, side, generator=generator)
    seg = torch.randn(2, 256, generator=generator)
    batch = cooperative(text_batch, toy_config)
    with torch.inference_mode():
        plain = toy.segmentation.decode_masks(frames, seg)
        with torch.autocast("cpu", BF16):
            answers = model.generate(batch, max_new_tokens=3)
            every = model.segmentation.decode_masks(frames, seg)
            carried = torch.stack(
                list(propagate(model.segmentation, frames.__getitem__, 5, seg, prompts=2)), 1
            )
    assert all(len(answer) for answer in answers.tokens)
    for masks in (every, carried):
        assert masks.dtype == torch.float32
        assert masks.isfinite().all()
    spread = plain.std()
    assert (every - plain).abs().mean() < 0.05 * spread
    assert (carried[:, 1] - plain[:, 1]).abs().mean() < 0.05 * spread, "a prompted frame"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_batch_at_the_published_sizes_trains_and_generates():
    """All widths and picture sizes of the 7B, in bf16, with fewer layers: what holds at toy size holds there.

    Catches an odd grid (27 patches, of which the connector keeps 13 pairs), windows that do not divide a map,
    and a size that is fixed somewhere.
    """
    full = published_7b()
    config = full.model_copy(
        update={
            "num_frames": 2,
            "vision": full.vision.model_copy(update={"num_hidden_layers": 2}),
            "language": full.language.model_copy(update={"num_hidden_layers": 1, "vocab_size": 60}),
            "connector": full.connector.model_copy(update={"depth": 1}),
            "sam2": full.sam2.model_copy(update={"stages": (1, 1, 2, 1), "global_att_blocks": (3,)}),
        }
    )
    model = build_model(config, TokenIds(region=REGION, seg=SEG, eos=(END,), pad=0), seed=5, dtype=BF16)
    model.set_trainable(PUBLISHED_TRAINED)
    model.train()
    model.language.packing = True
    see, sam = config.vision.image_size, config.sam2.image_size
    assert (see, sam) == (384, 1024)
    ids = torch.tensor([[5, VIDEO, REGION, 7, 9, SEG, 4, SEG, END]])
    labels = ids.clone()
    labels[:, :4] = -100
    generator = torch.Generator().manual_seed(14)
    batch = Batch(
        input_ids=ids,
        labels=labels,
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        video=torch.randn(1, 2, 3, see, see, generator=generator),
        region_frames=[torch.randn(1, 3, see, see, generator=generator)],
        region_masks=[torch.rand(1, 480, 854, generator=generator) > 0.9],
        region_frame_indices=[[[0]]],
        sam_frames=[torch.randn(2, 3, sam, sam, generator=generator)],
        gt_masks=[torch.rand(2, 2, 480, 854, generator=generator) > 0.6],
    ).to("cpu", BF16)
    output = model(batch)
    assert output.lengths == (13 * 13 + 1 + 7,)
    assert full.video_tokens == 2704
    assert output.mask_logits[0].shape == (2, 2, 480, 854)
    compute_losses(output, batch.gt_masks, LossWeights())["total"].backward()
    bad = [n for n, p in model.named_parameters() if p.requires_grad and not p.grad.isfinite().all()]
    assert bad == []
    model.eval()
    answers = model.generate(batch, max_new_tokens=2)
    assert len(answers.tokens[0]) >= 1
    masks = model.segmentation.decode_masks(
        batch.sam_frames[0][:1], torch.randn(1, 256, dtype=BF16), size=(480, 854)
    )
    assert masks.shape == (1, 1, 480, 854)
    assert masks.isfinite().all()
