"""Sample -> tensors: every mask belongs to its own frame's pixels, whatever other frames the sample has."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import COLOURS, FRAMES, samples, square, track

from pipeline.media.frame_choice import AnnotatedFrames, choose_frames
from pipeline.plan.presets import model_config
from pipeline.records.sample import Sample, TimeSpan
from pipeline.storage.location import Location
from training.data.dataset import COLUMNS, Dataset
from training.data.decode import CachedFrames
from training.model.collate import collate
from training.model.processor import Processor, View, resize, visible_frames
from training.model.prompt import PromptCodec
from training.model.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor(model_config("toy"), PromptCodec(train_tokenizer(["a square"], vocab_size=300)), seed=5)


@pytest.fixture(scope="module")
def frames(prepared: Location, processor: Processor) -> CachedFrames:
    return CachedFrames(
        Dataset.open(prepared).reader.footage, {v: processor.side(v) for v in View}, capacity_mb=64
    )


def colour_share(pixels_3HW: torch.Tensor, mask_hw: torch.Tensor, colour: str) -> float:
    """Share of a mask's pixels that have the square's colour; pixels are SigLIP's, -1 to 1."""
    rgb = (
        torch.nn.functional.interpolate(pixels_3HW[None], tuple(mask_hw.shape), mode="bilinear")[0] * 127.5
        + 127.5
    )
    near = (rgb - torch.tensor(COLOURS[colour], dtype=torch.float32)[:, None, None]).abs().amax(0) < 60
    return float(near[mask_hw > 0].float().mean())


@pytest.mark.parametrize("size", [(48, 86), (270, 480), (640, 360), (40, 40)])
def test_pixels_are_preprocessed_as_for_siglip_and_sam_2(processor: Processor, size: tuple[int, int]) -> None:
    """Catches another filter, a picture that is padded or cropped, exchanged channels or sides, and another
    mean. SigLIP: transformers' own processor. SAM 2: torch's own filter, then its mean and deviation."""
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    picture = np.random.default_rng(6).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture[: size[0] // 3, :, 0] = 250
    picture[:, : size[1] // 4, 2] = 5
    side = processor.side(View.VISION)
    siglip = SiglipImageProcessorPil(size={"height": side, "width": side})
    expected = siglip(images=[picture], return_tensors="pt")["pixel_values"]
    made = processor.vision_pixels([resize(picture, side, View.VISION)])
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)
    side = processor.side(View.SAM)
    raw = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(
        raw, (side, side), mode="bilinear", antialias=True, align_corners=False
    )
    mean, deviation = (
        torch.tensor(x)[:, None, None] for x in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    )
    made = processor.sam_pixels([resize(picture, side, View.SAM)])
    # Pillow rounds to whole levels, after each direction.
    torch.testing.assert_close(made * deviation + mean, small, atol=1.01, rtol=0)


@pytest.mark.parametrize("video", range(4))
def test_each_region_mask_belongs_to_its_own_frame(
    processor: Processor, frames: CachedFrames, video: int
) -> None:
    sample = samples(video)["refer"]
    # Two regions on interleaved frames: a mask that slipped to a neighbour would miss the square.
    sample = dataclasses.replace(
        sample,
        regions=(track(video, (4, 12)), track(video, (2, 8, 14))),
        turns=(sample.turns[0]._replace(text="<region> or <region>?"), sample.turns[1]),
    )
    example = processor.training(sample, frames, epoch=0)
    assert example.region_frames.shape == (5, 3, 56, 56)
    assert example.region_frame_indices == [[1, 3], [0, 2, 4]]
    order = [frame for region in example.region_frame_indices for frame in region]
    colour = list(COLOURS)[video % 4]
    for row, frame in enumerate(order):
        assert colour_share(example.region_frames[frame], example.region_masks[row], colour) > 0.8
    assert colour_share(example.region_frames[order[0]], example.region_masks[1], colour) < 0.8


@pytest.mark.parametrize("epoch", range(3))
def test_true_masks_belong_to_the_sam_frames(processor: Processor, frames: CachedFrames, epoch: int) -> None:
    example = processor.training(samples(1)["seg"], frames, epoch=epoch)
    assert example.sam_frames is not None
    assert example.gt_masks is not None
    assert example.sam_frames.shape == (4, 3, 128, 128)
    assert example.gt_masks.shape == (1, 4, 48, 64)
    assert list(example.sam_indices) == sorted(example.sam_indices)
    for i, frame in enumerate(example.sam_indices):
        assert np.array_equal(example.gt_masks[0, i].numpy(), square(1, frame))
        std, mean = torch.tensor([58.395, 57.12, 57.375]), torch.tensor([123.675, 116.28, 103.53])
        siglip_like = ((example.sam_frames[i] * std[:, None, None] + mean[:, None, None]) - 127.5) / 127.5
        assert colour_share(siglip_like, example.gt_masks[0, i], "green") > 0.8


def test_sam_frames_are_drawn_by_sample_and_epoch(processor: Processor) -> None:
    sample = samples(0)["seg"]
    drawn = [processor.frames_needed(sample, epoch=e).sam for e in range(6)]
    assert drawn == [processor.frames_needed(sample, epoch=e).sam for e in range(6)]
    assert len(set(drawn)) > 1
    assert all(min(d) >= 2 for d in drawn)  # the square is absent in frames 0 and 1


def test_frames_with_targets_come_first_and_few_are_repeated() -> None:
    assert choose_frames(AnnotatedFrames(present=(3, 9), absent=(0, 1, 2)), 2, names=("k",)) == (3, 9)
    assert choose_frames(AnnotatedFrames(present=(3, 9), absent=()), 4, names=("k",)) == (3, 3, 9, 9)
    mixed = choose_frames(AnnotatedFrames(present=(3, 9), absent=(0, 1, 2)), 4, names=("k",))
    assert {3, 9} < set(mixed)
    assert len(set(mixed)) == 4


def test_some_frames_may_show_no_target() -> None:
    annotated = AnnotatedFrames(present=(3, 9, 11), absent=(0, 1))
    for wanted in range(3):
        chosen = choose_frames(annotated, 3, names=("k",), without_target=wanted)
        assert sum(f in annotated.absent for f in chosen) == wanted
    with_one = choose_frames(
        AnnotatedFrames(present=(3, 9, 11), absent=(0,)), 3, names=("k",), without_target=2
    )
    assert 0 in with_one  # one alone is there: the other two show the target
    assert len(set(with_one)) == 3
    none = AnnotatedFrames(present=(3, 9), absent=())
    assert choose_frames(none, 2, names=("k",), without_target=1) == (3, 9)


def test_a_plan_cannot_ask_for_frames_without_targets_alone() -> None:
    with pytest.raises(ValueError, match="leaves none of num_sam_frames 2"):
        model_config("toy", {"num_sam_frames": 2, "sam_frames_without_target": 2})


def test_targets_without_a_common_frame_are_refused(processor: Processor) -> None:
    sample = dataclasses.replace(samples(0)["seg"], targets=(track(0, (3, 5)), track(0, (4, 6))))
    with pytest.raises(ValueError, match="no frame is annotated for all of its 2 targets"):
        processor.frames_needed(sample)


def test_a_clip_of_a_video_with_variable_frame_rate_follows_time_stamps(processor: Processor) -> None:
    """All frames but the first two are in the last quarter: the clip of the first half is these two."""
    clip = TimeSpan(start_s=0.0, end_s=1.0, start_bin=0, end_bin=50)
    sample = samples(0)["qa"]
    late_s = tuple(1.5 + 0.5 * k / FRAMES for k in range(FRAMES - 2))
    uneven = dataclasses.replace(sample.video, frame_starts_s=(0.0, 0.5, *late_s))
    needed = processor.frames_needed(dataclasses.replace(sample, clip=clip, video=uneven))
    assert set(needed.video) == {0, 1}
    even = processor.frames_needed(dataclasses.replace(sample, clip=clip))
    assert max(even.video) == FRAMES // 2 - 1


def test_a_clip_restricts_the_video_to_its_seconds(processor: Processor) -> None:
    clip = TimeSpan(start_s=1.0, end_s=2.0, start_bin=50, end_bin=99)
    whole, part = samples(0)["qa"], dataclasses.replace(samples(0)["qa"], clip=clip)
    assert processor.frames_needed(whole).video == (1, 3, 5, 7, 8, 10, 12, 14)
    assert set(processor.frames_needed(part).video) <= set(range(8, 16))


def test_a_region_without_its_object_is_not_shown() -> None:
    assert [f for f, _ in visible_frames(track(0, (0, 1, 5)))] == [5]
    assert [f for f, _ in visible_frames(track(0, (0, 1)))] == [0]


def test_true_masks_larger_than_sam_s_input_are_reduced_by_area(processor: Processor) -> None:
    from pipeline.records import masks
    from pipeline.records.sample import MaskTrack

    big = np.zeros((256, 100), np.uint8)
    big[:101] = 1
    track_ = MaskTrack(height=256, width=100, frames=(0,), counts=(masks.encode(big),))
    truth = processor.truth((track_,), (0,))
    assert truth.shape == (1, 1, 128, 100)
    assert int(truth[0, 0, :, 0].sum()) == 51  # 50 whole rows and one that is half inside


def test_the_cache_gives_the_same_pixels_and_stays_within_its_size(
    prepared: Location, processor: Processor
) -> None:
    dataset = Dataset.open(prepared)
    sides = {v: processor.side(v) for v in View}
    small, large = (CachedFrames(dataset.reader.footage, sides, capacity_mb=mb) for mb in (0, 64))
    sample: Sample = samples(2)["seg"]
    first = processor.training(sample, large, epoch=0)
    again = processor.training(sample, large, epoch=0)
    never = processor.training(sample, small, epoch=0)
    assert large.counts.misses == 12
    assert large.counts.hits == 12
    assert not small._frames
    for name in ("video", "sam_frames"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert torch.equal(getattr(first, name), getattr(never, name))


def test_a_prompt_for_inference_has_no_answer(processor: Processor, frames: CachedFrames) -> None:
    example = processor.inference(samples(3)["seg"], frames)
    assert example.labels is None
    assert example.sam_frames is None
    assert processor.codec.ids.seg not in example.input_ids
    assert torch.equal(example.video, processor.training(samples(3)["seg"], frames, epoch=0).video)


def test_neither_training_nor_inference_uses_the_reference(
    processor: Processor, frames: CachedFrames
) -> None:
    """Neither in a prompt nor as a training target; training does not even read the column."""
    assert "reference" not in COLUMNS
    one = samples(1)["qa"]
    other = dataclasses.replace(one, reference="a judge compares with this")
    for make in (processor.inference, lambda sample, at: processor.training(sample, at, epoch=0)):
        assert make(one, frames).input_ids == make(other, frames).input_ids


def test_collate_pads_and_keeps_masks_per_sample(processor: Processor, frames: CachedFrames) -> None:
    made: list[Any] = [
        processor.training(samples(0)[name], frames, epoch=0) for name in ("qa", "seg", "refer")
    ]
    batch = collate(made, pad_id=processor.codec.ids.pad)
    assert batch.attention_mask.sum(1).tolist() == [len(e.input_ids) for e in made]
    assert batch.labels is not None
    assert (batch.labels[~batch.attention_mask] == -100).all()
    assert batch.gt_masks[0] is None
    assert batch.gt_masks[1] is not None
    assert batch.region_frame_indices == [[], [], [[0, 1]]]
    assert (
        max(max(i for r in e.region_frame_indices for i in r) if e.region_frame_indices else 0 for e in made)
        < FRAMES
    )
