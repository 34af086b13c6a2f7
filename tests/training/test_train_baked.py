"""Training from baked frames alone: they cover every visit, and look like those decoded from the videos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import FRAMES, VIDEOS, samples, stage, track

from pipeline.errors import UserError
from pipeline.media.frame_choice import frames_needed, frames_to_segment
from pipeline.plan.data import BakeConfig
from pipeline.plan.model import ModelConfig
from pipeline.plan.presets import model_config
from pipeline.records.sample import Sample, Task, TimeSpan
from pipeline.storage.location import Location
from tests.baking import baked_copy
from training.data.dataset import Dataset
from training.data.decode import CachedFrames
from training.data.loader import Loader
from training.data.order import BatchSplit
from training.model.processor import Processor, View
from training.model.prompt import PromptCodec
from training.model.tokenizer import train_tokenizer

EPOCHS = 40


def processor_of(config: ModelConfig) -> Processor:
    return Processor(config, PromptCodec(train_tokenizer(["a square"], vocab_size=300)), seed=5)


@pytest.fixture(scope="module")
def processor() -> Processor:
    return processor_of(model_config("toy"))


@pytest.fixture(scope="module")
def baked(prepared: Location, tmp_path_factory: pytest.TempPathFactory) -> Location:
    """The tiny corpus with its frames; it does not record where its videos are."""
    return baked_copy(prepared, tmp_path_factory.mktemp("baked"), BakeConfig(frames=8))


def frames_of(place: Location, processor: Processor) -> CachedFrames:
    return CachedFrames(
        Dataset.open(place).reader.footage, {v: processor.side(v) for v in View}, capacity_mb=64
    )


def samples_of_every_kind() -> list[Sample]:
    """Samples of every kind that needs particular frames."""
    rng = np.random.default_rng(3)
    out = [s for video in range(VIDEOS) for s in samples(video).values()]
    for n in range(40):
        base = samples(n % VIDEOS)
        few = [sorted(rng.choice(FRAMES, int(rng.integers(1, FRAMES)), replace=False).tolist()) for _ in "ab"]
        start, length = rng.uniform(0, 1.9), rng.uniform(0.01, 2)
        end = min(start + length, FRAMES / 8)
        clip = TimeSpan(start_s=start, end_s=end, start_bin=0, end_bin=99) if n % 3 else None
        both = tuple(track(n, sorted({*part, 5})) for part in few)
        out.append(dataclasses.replace(base["refer"], key=f"r{n}", clip=clip, regions=both))
        out.append(dataclasses.replace(base["seg"], key=f"s{n}", clip=clip, targets=both))
        out.append(dataclasses.replace(base["qa"], key=f"q{n}", clip=clip))
        out.append(dataclasses.replace(base["seg"], key=f"h{n}", clip=clip, targets=(), task=Task.SEGMENT))
        out.append(
            dataclasses.replace(
                base["refer"], key=f"c{n}", task=Task.COOPERATIVE, regions=both[:1], targets=both
            )
        )
    return out


@pytest.mark.parametrize(("takes", "sam"), [(8, 4), (2, 1), (32, 7)])
def test_baked_frames_cover_every_visit(takes: int, sam: int) -> None:
    config = model_config("toy", {"num_frames": takes, "num_sam_frames": sam})
    processor = processor_of(config)
    for sample in samples_of_every_kind():
        baked_frames = set(frames_needed(sample, takes))
        for epoch in range(EPOCHS):
            needed = processor.frames_needed(sample, epoch=epoch)
            for indices in needed.by_view.values():
                assert set(indices) <= baked_frames, (sample.key, epoch)
        shown = processor.frames_needed(sample, with_targets=False)
        assert {*shown.video, *shown.regions} <= baked_frames
        assert set(frames_to_segment(sample)[0]) <= baked_frames


def test_examples_from_baked_frames_look_like_those_from_videos(
    prepared: Location, baked: Location, processor: Processor
) -> None:
    from_videos, from_shards = (frames_of(place, processor) for place in (prepared, baked))
    reader = Dataset.open(baked).reader
    for source in reader.sources:
        for row in range(reader.count(source)):
            sample = reader.sample(source, row)
            for epoch in range(3):
                expected = processor.training(sample, from_videos, epoch=epoch)
                actual = processor.training(sample, from_shards, epoch=epoch)
                assert actual.input_ids == expected.input_ids
                assert actual.sam_indices == expected.sam_indices
                assert torch.equal(actual.region_masks, expected.region_masks)
                pairs = [(actual.video, expected.video), (actual.region_frames, expected.region_frames)]
                if expected.sam_frames is not None:
                    assert actual.sam_frames is not None
                    assert actual.gt_masks is not None
                    assert expected.gt_masks is not None
                    assert torch.equal(actual.gt_masks, expected.gt_masks)
                    pairs.append((actual.sam_frames, expected.sam_frames))
                for ours, theirs in pairs:
                    assert ours.shape == theirs.shape
                    if len(ours):  # of 255 grey levels, in units of about half of them
                        assert float((ours - theirs).abs().mean()) < 2 / 127
                        assert float((ours - theirs).abs().max()) < 40 / 127


def test_small_frames_are_stretched_to_the_same_squares(
    prepared: Location, processor: Processor, tmp_path: Path
) -> None:
    small = baked_copy(prepared, tmp_path, BakeConfig(frames=8, longest_side=32))
    reader = Dataset.open(small).reader
    sample = reader.sample("seg", 0)
    footage = reader.baked_footage(sample)
    assert footage is not None
    assert footage.decode([3]).shape == (1, 24, 32, 3)
    actual = processor.training(sample, frames_of(small, processor), epoch=0)
    expected = processor.training(sample, frames_of(prepared, processor), epoch=0)
    assert actual.gt_masks is not None
    assert expected.gt_masks is not None
    assert torch.equal(actual.gt_masks, expected.gt_masks)
    assert actual.sam_frames is not None
    assert expected.sam_frames is not None
    assert 0 < float((actual.sam_frames - expected.sam_frames).abs().mean()) < 0.3


@pytest.mark.parametrize("threads", [1, 4])
def test_the_loader_needs_no_video(baked: Location, processor: Processor, threads: int) -> None:
    dataset = Dataset.open(baked, num_frames=8)
    loader = Loader(
        order=dataset.order(stage(), 3),
        split=BatchSplit(global_batch=4, workers=1, micro_batch=2),
        worker=0,
        reader=dataset.reader,
        processor=processor,
        frames=frames_of(baked, processor),
        threads=threads,
        start_step=0,
        stop_step=5,
        retry_s=1,
    )
    batches = list(loader)
    assert len(batches) == 10
    assert sum(len(b.quarantined) for b in batches) == 0
    assert sum(t is not None for b in batches for t in b.batch.gt_masks) > 0


def test_a_model_of_other_frames_is_refused_when_the_data_is_opened(baked: Location) -> None:
    with pytest.raises(
        UserError, match=r"look at 8 of a video; this one looks at 16.*data\.bake\.frames: 16"
    ):
        Dataset.open(baked, num_frames=16)


def test_a_missing_frame_is_reported(baked: Location) -> None:
    other = processor_of(model_config("toy", {"num_frames": 4}))
    sample = samples(0)["qa"]
    with pytest.raises(UserError, match=r"frames/qa-00000\.pq: holds no frame 2 of v0\.mp4 \(it has 8"):
        other.training(sample, frames_of(baked, other), epoch=0)
