"""What the model runs: SAM 2 only for samples with masks, each frame once, no mask after an answer's end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from pipeline.plan.model import LossWeights, ModelConfig
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

VIDEO, REGION, SEG, END = -201, 50, 51, 2


@contextmanager
def batch_sizes(*modules: nn.Module) -> Iterator[list[int]]:
    """The number of images in each call of these modules."""
    seen: list[int] = []
    hooks = [m.register_forward_pre_hook(lambda _, args: seen.append(len(args[0]))) for m in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def batch_with_masks(text_batch, config: ModelConfig, objects: list[int]) -> Batch:
    """A sample for each number of objects, with as many [SEG] and four frames, or with neither."""
    side = config.sam2.image_size
    generator = torch.Generator().manual_seed(6)
    batch = text_batch(
        [[5 + i, VIDEO, *range(9, 9 + 7 * i)] for i in range(len(objects))],
        [[*[SEG] * n, 8 + n, END] for n in objects],
    )
    return dataclasses.replace(
        batch,
        sam_frames=[torch.randn(4, 3, side, side, generator=generator) if n else None for n in objects],
        gt_masks=[torch.rand(n, 4, 20, 30, generator=generator) > 0.5 if n else None for n in objects],
    )


@pytest.mark.parametrize(("objects", "frames"), [([0, 3, 0, 1], [8]), ([0, 0], []), ([2], [4])])
def test_sam_encodes_only_the_frames_of_samples_with_masks(
    toy: UFVideo, toy_config: ModelConfig, text_batch, objects: list[int], frames: list[int]
):
    """Catches an encoder that runs for every sample, or for every object."""
    sam = toy.segmentation.sam
    with batch_sizes(sam.vision_encoder.backbone) as encoded, batch_sizes(sam.memory_encoder) as remembered:
        toy(batch_with_masks(text_batch, toy_config, objects))
    assert encoded == frames
    assert remembered == []


def test_a_frame_is_encoded_once_for_any_number_of_objects(toy: UFVideo, toy_config: ModelConfig):
    side = toy_config.sam2.image_size
    sam = toy.segmentation.sam
    for objects in (1, 4):
        with (
            batch_sizes(sam.vision_encoder.backbone) as encoded,
            batch_sizes(sam.memory_encoder) as remembered,
        ):
            toy.segmentation.decode_masks(
                torch.randn(5, 3, side, side), torch.randn(objects, 256), chunk_frames=3
            )
        assert encoded == [3, 2]
        assert remembered == []


def test_a_picture_that_a_sample_shows_four_times_is_encoded_once(
    toy_config: ModelConfig, tokens: TokenIds, text_batch
):
    """A picture with masks is a video of one frame, so its four SAM frames are one. Catches an encoder that
    sees it four times, masks that change places with those of another frame, and other gradients."""
    model = build_model(toy_config, tokens, seed=5).train()
    model.set_trainable(["language", "seg_head", "sam_encoder", "sam_decoder"])
    batch = batch_with_masks(text_batch, toy_config, [2, 0, 1])
    first, _, third = batch.sam_frames
    shown = [first[[0, 0, 2, 0]], None, third]
    named = [torch.tensor([0, 0, 2, 0]), None, torch.arange(4)]

    def run(same_as: list[torch.Tensor | None]) -> tuple[list[int], torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad(set_to_none=True)
        given = dataclasses.replace(batch, sam_frames=shown, sam_same_as=same_as)
        with batch_sizes(model.segmentation.sam.vision_encoder.backbone) as encoded:
            output = model(given)
        compute_losses(output, batch.gt_masks, LossWeights())["total"].backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        return encoded, torch.cat([m for m in output.mask_logits if m is not None]).detach(), gradients

    every, masks, gradients = run([])
    once, same_masks, same_gradients = run(named)
    assert (every, once) == ([8], [6])
    torch.testing.assert_close(same_masks, masks, atol=1e-4, rtol=1e-4)
    assert same_gradients.keys() == gradients.keys()
    for name, gradient in same_gradients.items():
        torch.testing.assert_close(gradient, gradients[name], atol=5e-5, rtol=1e-3, msg=name)
    with pytest.raises(ValueError, match="sam_same_as"):
        dataclasses.replace(batch, sam_same_as=[torch.arange(3), None, None])


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_training_masks_come_from_the_states_that_predict_seg(
    toy: UFVideo, toy_config: ModelConfig, text_batch, packing: bool
):
    """Catches the state at [SEG] itself, and a neighbour's. Generation is tested against the same states."""
    batch = batch_with_masks(text_batch, toy_config, [2, 0, 1])
    toy.language.packing = packing
    try:
        with torch.no_grad():
            output = toy(batch)
            rows = list(
                zip(output.hidden.split(output.lengths), output.labels.split(output.lengths), strict=True)
            )
            for i, (hidden, labels) in enumerate(rows):
                before = (labels == SEG).nonzero().flatten() - 1
                if not len(before):
                    assert output.mask_logits[i] is None
                    continue
                expected = toy.segmentation.decode_masks(
                    batch.sam_frames[i], toy.segmentation.head(hidden[before]), size=(20, 30)
                )
                torch.testing.assert_close(output.mask_logits[i], expected, atol=1e-3, rtol=1e-3)
    finally:
        toy.language.packing = False


def test_packed_gradients_of_masks_and_regions_are_those_of_padded_rows(
    toy_config: ModelConfig, tokens: TokenIds, text_batch
):
    """Catches a pack whose [SEG] or region belongs to another sample: its gradients then differ too."""
    model = build_model(toy_config, tokens, seed=5).train()
    model.set_trainable(["language", "connector", "regions", "seg_head", "sam_decoder"])
    batch = batch_with_masks(text_batch, toy_config, [2, 0, 1])
    see = toy_config.vision.image_size
    generator = torch.Generator().manual_seed(7)
    ids = batch.input_ids.clone()
    ids[1, 2] = REGION
    batch = dataclasses.replace(
        batch,
        input_ids=ids,
        region_frames=[torch.randn(n, 3, see, see, generator=generator) for n in (0, 3, 0)],
        region_masks=[torch.rand(n, 20, 20, generator=generator) > 0.5 for n in (0, 3, 0)],
        region_frame_indices=[[], [[0, 1, 2]], []],
    )

    def gradients(packing: bool) -> dict[str, torch.Tensor]:
        model.language.packing = packing
        model.zero_grad(set_to_none=True)
        compute_losses(model(batch), batch.gt_masks, LossWeights())["total"].backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    padded, packed = gradients(packing=False), gradients(packing=True)
    assert packed.keys() == padded.keys()
    assert {n.split(".")[0] for n in packed} == {"language", "connector", "regions", "segmentation"}
    for name, gradient in packed.items():
        torch.testing.assert_close(gradient, padded[name], atol=5e-5, rtol=1e-3, msg=name)


def test_a_seg_after_the_end_of_an_answer_gets_no_mask(toy: UFVideo, text_batch):
    """A batch runs until its longest answer ends. Catches a [SEG] among the surplus tokens of another."""
    batch = text_batch([[5, VIDEO, 7, 8, 9, 10], [6, VIDEO], [11, 12, VIDEO, 13]], [[], [], []])
    free = [t.tolist() for t in toy.generate(batch, max_new_tokens=8).tokens]
    generated_ids = sorted({token for answer in free for token in answer})

    def length(answer: list[int], end: int) -> int:
        return answer.index(end) + 1 if end in answer else len(answer)

    def has_after_end(seg: int, end: int) -> bool:
        """Whether some answer has ``seg`` after its end, while another still goes on."""
        longest = max(length(answer, end) for answer in free)
        return any(seg in answer[length(answer, end) : longest] for answer in free)

    cases = [
        (seg, end) for seg in generated_ids for end in generated_ids if seg != end and has_after_end(seg, end)
    ]
    assert cases, "no answer has a token after its end, so the test shows nothing; choose other prompts"
    for seg, end in cases[:2]:
        model = build_model(toy.config, TokenIds(region=REGION, seg=seg, eos=(end,), pad=0), seed=5).eval()
        model.load_state_dict(toy.state_dict())
        generated = model.generate(batch, max_new_tokens=8)
        for answer, new, embeddings in zip(free, generated.tokens, generated.seg_embeddings, strict=True):
            assert new.tolist() == answer[: length(answer, end)]
            assert len(embeddings) == new.tolist().count(seg)
