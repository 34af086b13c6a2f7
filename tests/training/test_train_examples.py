"""From samples to micro-batches: equal pictures, several targets, text alone, regions that cover no patch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tiny_corpus import FRAMES, HEIGHT, WIDTH, samples, square, track

from pipeline.plan.model import LossWeights, ModelConfig
from pipeline.plan.presets import model_config
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, Turn
from pipeline.storage.location import Location
from training.data.dataset import Dataset
from training.data.decode import CachedFrames
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.collate import collate
from training.model.processor import Example, Processor, View
from training.model.prompt import PromptCodec
from training.model.tokenizer import train_tokenizer
from training.model.ufvideo import UFVideo
from training.stage.start import with_vocabulary


@pytest.fixture(scope="module")
def codec_of_text() -> PromptCodec:
    return PromptCodec(train_tokenizer(["a square"], vocab_size=300))


@pytest.fixture(scope="module")
def config(codec_of_text: PromptCodec) -> ModelConfig:
    return with_vocabulary(model_config("toy"), len(codec_of_text.tokenizer))


@pytest.fixture(scope="module")
def processor(config: ModelConfig, codec_of_text: PromptCodec) -> Processor:
    return Processor(config, codec_of_text, seed=5)


@pytest.fixture(scope="module")
def frames(prepared: Location, processor: Processor) -> CachedFrames:
    return CachedFrames(
        Dataset.open(prepared).reader.footage, {v: processor.side(v) for v in View}, capacity_mb=64
    )


@pytest.fixture(scope="module")
def model(config: ModelConfig, codec_of_text: PromptCodec) -> UFVideo:
    return build_model(config, codec_of_text.ids, seed=5).eval()


def batch_of(processor: Processor, *examples: Example) -> Batch:
    return collate(examples, pad_id=processor.codec.ids.pad)


@contextmanager
def batch_sizes(module: torch.nn.Module) -> Iterator[list[int]]:
    """The number of images in each call of the module."""
    seen: list[int] = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    try:
        yield seen
    finally:
        hook.remove()


# ------------------------------------------------------------------------------------------ equal pictures


def test_the_vision_tower_sees_each_picture_once(
    processor: Processor, frames: CachedFrames, model: UFVideo
) -> None:
    """Catches a region's frame that is encoded again though the video shows it, and pictures mixed up."""
    shown = processor.frames_needed(samples(1)["qa"]).video
    other = next(f for f in range(2, FRAMES) if f not in shown)
    refer = dataclasses.replace(
        samples(1)["refer"],
        regions=(track(1, (shown[1], shown[-1])), track(1, sorted((shown[1], other)))),
        turns=(Turn(role=Role.USER, text="<region> or <region>?"), samples(1)["refer"].turns[1]),
    )
    made = [processor.training(s, frames, epoch=0) for s in (samples(0)["qa"], refer, samples(2)["qa"])]
    batch = batch_of(processor, *made)
    with torch.no_grad():
        with batch_sizes(model.vision.tower.embeddings) as seen:
            video, regions = model.visual_tokens(batch)
        with batch_sizes(model.vision.tower.embeddings) as all_seen:
            separate, separate_regions = model.visual_tokens(dataclasses.replace(batch, same_as=None))
    assert seen == [3 * len(set(shown)) + 1]
    assert all_seen == [3 * len(shown) + 3]
    torch.testing.assert_close(video, separate, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(regions[1], separate_regions[1], strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_a_still_picture_is_encoded_once(processor: Processor, frames: CachedFrames, model: UFVideo) -> None:
    """A picture is a video of one frame, which is repeated for the model. So is a short video's."""
    sample = samples(3)["qa"]
    still = dataclasses.replace(sample, video=dataclasses.replace(sample.video, num_frames=1))
    example = processor.inference(still, frames)
    assert set(example.frame_numbers) == {0}
    assert len(example.frame_numbers) == processor.config.num_frames
    with batch_sizes(model.vision.tower.embeddings) as seen, torch.no_grad():
        model.generate(batch_of(processor, example), max_new_tokens=1)
    assert seen == [1]


def test_same_as_has_an_entry_for_every_frame(processor: Processor, frames: CachedFrames) -> None:
    batch = batch_of(processor, processor.training(samples(0)["refer"], frames, epoch=0))
    assert batch.same_as is not None
    with pytest.raises(ValueError, match="entries in same_as"):
        dataclasses.replace(batch, same_as=batch.same_as[1:])


# --------------------------------------------------------------------------------------------- the truth


def test_each_seg_has_the_masks_of_its_own_object(processor: Processor, frames: CachedFrames) -> None:
    """Three different objects on four frames. Catches targets in another order than their [SEG], and frames
    in the place of objects."""
    sample = three_objects()
    example = processor.training(sample, frames, epoch=0)
    batch = batch_of(processor, example, processor.training(samples(0)["qa"], frames, epoch=0))
    truth = batch.gt_masks[0]
    assert truth is not None
    assert truth.shape == (3, 4, HEIGHT, WIDTH)
    for which in range(3):
        for at, frame in enumerate(example.sam_indices):
            assert np.array_equal(truth[which, at].numpy(), object_mask(which, frame)), (which, frame)


def test_repeated_frames_are_marked_as_one_picture(processor: Processor, frames: CachedFrames) -> None:
    """Two annotated frames fill four places. Catches a batch in which SAM 2 would look at them twice."""
    sample = three_objects()
    few = tuple(dataclasses.replace(t, frames=t.frames[2:4], counts=t.counts[2:4]) for t in sample.targets)
    examples = [
        processor.training(dataclasses.replace(sample, targets=few), frames, epoch=0),
        processor.training(samples(0)["qa"], frames, epoch=0),
        processor.training(sample, frames, epoch=0),
    ]
    repeated, none, distinct = batch_of(processor, *examples).sam_same_as
    assert examples[0].sam_indices == (2, 2, 3, 3)
    assert repeated.tolist() == [0, 0, 2, 2]
    assert none is None
    assert distinct.tolist() == [0, 1, 2, 3]


def test_mask_losses_distinguish_objects(processor: Processor, frames: CachedFrames, model: UFVideo) -> None:
    """Perfect logits of each [SEG] cost nothing; with two objects swapped they do."""
    batch = batch_of(processor, processor.training(three_objects(), frames, epoch=0))
    with torch.no_grad():
        output = model(batch)
    (truth,) = batch.gt_masks
    assert truth is not None

    def dice(order: list[int]) -> float:
        logits = (truth[order].float() * 2 - 1) * 50
        made = compute_losses(dataclasses.replace(output, mask_logits=[logits]), [truth], LossWeights())
        return float(made["dice"] + made["bce"])

    assert dice([0, 1, 2]) < 0.01
    assert dice([1, 0, 2]) > 0.5


def object_mask(which: int, frame: int) -> np.ndarray:
    """The square, the part left of a moving line, or a bar that sinks: three objects that differ in shape."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if which == 0:
        return square(1, frame)
    if which == 1:
        mask[:, : 5 + 2 * frame] = 1
    else:
        mask[frame : frame + 6] = 1
    return mask


def three_objects() -> Sample:
    sample = samples(1)["seg"]
    everywhere = range(sample.video.num_frames)
    tracks = tuple(
        MaskTrack(
            height=HEIGHT,
            width=WIDTH,
            frames=tuple(everywhere),
            counts=tuple(masks.encode(object_mask(which, f)) for f in everywhere),
        )
        for which in range(3)
    )
    turns = (sample.turns[0], Turn(role=Role.ASSISTANT, text="[SEG], [SEG] and [SEG]."))
    return dataclasses.replace(sample, targets=tracks, turns=turns)


# ----------------------------------------------------------------------------------- text alone, and odd ones


def test_text_without_a_video_shares_a_batch_with_a_video(
    processor: Processor, frames: CachedFrames, model: UFVideo
) -> None:
    """Catches a placeholder in a text that has no video, and a video that goes to the wrong sample."""
    turns = samples(0)["qa"].turns
    text, video = processor.text("talk/1", turns), processor.training(samples(0)["qa"], frames, epoch=0)
    batch = batch_of(processor, text, video, text)
    assert batch.has_video == [False, True, False]
    with torch.no_grad():
        first, middle, last = model(batch).hidden.split(model(batch).lengths)
        torch.testing.assert_close(middle, model(batch_of(processor, video)).hidden, atol=1e-4, rtol=1e-4)
        alone = model(batch_of(processor, text))
    torch.testing.assert_close(first, alone.hidden, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(last, alone.hidden, atol=1e-4, rtol=1e-4)
    shown = model.config.video_tokens
    assert len(middle) - len(first) == shown + 1, "apart from the video and its line, the tokens are the same"


def test_a_prompt_among_training_examples_is_refused(processor: Processor, frames: CachedFrames) -> None:
    """Catches a batch that loses all of its labels because one example has none."""
    sample = samples(0)["qa"]
    with pytest.raises(ValueError, match="one kind at a time"):
        batch_of(processor, processor.training(sample, frames, epoch=0), processor.inference(sample, frames))


def test_an_unknown_placeholder_id_is_refused(
    processor: Processor, frames: CachedFrames, model: UFVideo
) -> None:
    """Another model's placeholder for a picture, say. Catches one that is embedded as some token."""
    batch = batch_of(processor, processor.training(samples(0)["qa"], frames, epoch=0))
    batch.input_ids[0, -1] = -200
    with pytest.raises(ValueError, match=r"ids \[-201, -200\]"):
        model(batch)


def test_a_region_that_covers_no_patch_is_counted(processor: Processor, frames: CachedFrames) -> None:
    sample = samples(0)["refer"]
    spot = np.zeros((HEIGHT * 40, WIDTH * 40), np.uint8)
    spot[0, 0] = 1
    tiny = MaskTrack(height=spot.shape[0], width=spot.shape[1], frames=(3,), counts=(masks.encode(spot),))
    assert processor.training(sample, frames, epoch=0).blank_regions == 0
    small = dataclasses.replace(sample, regions=(tiny,))
    assert processor.training(small, frames, epoch=0).blank_regions == 1
