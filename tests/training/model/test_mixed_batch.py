"""One forward pass for samples of every kind gives each the result that it has alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pipeline.plan.model import ModelConfig
from training.model.batch import Batch
from training.model.build import build_model
from training.model.golden import GoldenCase, golden_model
from training.model.parity import compare
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

VIDEO, REGION, SEG, TIME, END = -201, 50, 51, 40, 2


def _samples_by_kind(config: ModelConfig) -> dict[str, Batch]:
    """A batch of one for each kind of sample."""
    generator = torch.Generator().manual_seed(8)
    see, side = config.vision.image_size, config.sam2.image_size

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def sample(
        prompt: list[int], answer: list[int], regions: list[list[int]], objects: int | None = None
    ) -> Batch:
        ids = torch.tensor([prompt + answer])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        frames = 1 + max((f for region in regions for f in region), default=-1)
        video = noise(1, config.num_frames, 3, see, see)
        has_video = VIDEO in prompt
        return Batch(
            input_ids=ids,
            labels=labels,
            attention_mask=torch.ones_like(ids, dtype=torch.bool),
            video=video if has_video else video[:0],
            has_video=[has_video],
            region_frames=[noise(frames, 3, see, see)],
            region_masks=[noise(sum(map(len, regions)), 20, 30) > 0.5],
            region_frame_indices=[regions],
            sam_frames=[None if objects is None else noise(4, 3, side, side)],
            gt_masks=[None if objects is None else (noise(objects, 4, 24, 32) > 0).to(torch.uint8)],
        )

    image = sample([VIDEO, 7], [9, END], [])
    image.video[:] = image.video[:, :1]  # a still picture is repeated
    return {
        "text": sample([5, 6, 7], [8, END], []),
        "image": image,
        "question": sample([VIDEO, 7, 8], [9, 10, END], []),
        "referring, one frame": sample([VIDEO, 7, REGION], [9, END], [[0]]),
        "referring, many frames": sample([VIDEO, REGION, 7], [11, END], [[0, 1, 2, 3, 4, 5, 6]]),
        "referring, several regions": sample(
            [VIDEO, REGION, 6, REGION, REGION], [9, END], [[0, 2], [1], [0, 1, 2, 3, 4, 5]]
        ),
        "temporal": sample([VIDEO, 8], [TIME, TIME + 3, END], []),
        "segmentation": sample([VIDEO, 8], [9, SEG, END], [], objects=1),
        "segmentation of three": sample([VIDEO, 8], [SEG, 9, SEG, SEG, END], [], objects=3),
        "nothing to segment": sample([VIDEO, 8], [9, END], [], objects=0),
        "cooperative": sample([VIDEO, REGION, 8], [TIME, 9, SEG, 3, SEG, END], [[0, 1]], objects=2),
    }


def _prompt(sample: Batch) -> Batch:
    """The sample without its answer."""
    keep = (sample.labels == -100)[0]
    short = {name: getattr(sample, name)[:, keep] for name in ("input_ids", "labels", "attention_mask")}
    return dataclasses.replace(sample, **short)


def _mixed_batch(samples: list[Batch], pad: int) -> Batch:
    longest = max(s.input_ids.shape[1] for s in samples)

    def padded(name: str, value: int) -> torch.Tensor:
        rows = [getattr(s, name)[0] for s in samples]
        return torch.stack([torch.nn.functional.pad(r, (0, longest - len(r)), value=value) for r in rows])

    lists = ("has_video", "region_frames", "region_masks", "region_frame_indices", "sam_frames", "gt_masks")
    return Batch(
        input_ids=padded("input_ids", pad),
        labels=padded("labels", -100),
        attention_mask=padded("attention_mask", 0),
        video=torch.cat([s.video for s in samples]),
        **{name: [getattr(s, name)[0] for s in samples] for name in lists},
    )


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_every_kind_has_the_same_result_in_a_mixed_batch_as_alone(
    toy: UFVideo, toy_config: ModelConfig, packing: bool, backwards: bool
):
    """Catches: pixels, regions or masks that reach a neighbour, in either order of the samples."""
    kinds = _samples_by_kind(toy_config)
    names = list(reversed(kinds)) if backwards else list(kinds)
    toy.language.packing = packing
    try:
        with torch.no_grad():
            mixed = toy(_mixed_batch([kinds[name] for name in names], toy.tokens.pad))
            answers = 0
            for i, (name, hidden) in enumerate(zip(names, mixed.hidden.split(mixed.lengths), strict=True)):
                alone = toy(kinds[name])
                torch.testing.assert_close(hidden, alone.hidden, atol=1e-4, rtol=1e-4, msg=name)
                count = len(alone.answer_targets)
                assert torch.equal(mixed.answer_targets[answers : answers + count], alone.answer_targets), (
                    name
                )
                answers += count
                actual, expected = mixed.mask_logits[i], alone.mask_logits[0]
                if expected is None:
                    assert actual is None, name
                else:
                    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-3, msg=name)
            assert answers == len(mixed.answer_targets)
    finally:
        toy.language.packing = False


def test_every_kind_is_answered_in_a_batch_as_it_is_alone(toy: UFVideo, toy_config: ModelConfig):
    """Catches: attention to left padding, regions and [SEG] states that reach a neighbour's answer."""
    kinds = {name: _prompt(sample) for name, sample in _samples_by_kind(toy_config).items()}
    together = _mixed_batch(list(kinds.values()), toy.tokens.pad)
    assert len({tuple(sample.input_ids.shape) for sample in kinds.values()}) > 2  # so there is padding
    free = [answer.tolist() for answer in toy.generate(together, 6).tokens]
    # A random model generates [SEG] if [SEG] has the id of a token that it repeats in one answer.
    generated_ids = sorted({token for answer in free for token in answer} - {REGION, END})
    seg = max(
        generated_ids, key=lambda token: (max(a.count(token) for a in free), sum(token in a for a in free))
    )
    model = build_model(toy_config, TokenIds(region=REGION, seg=seg, eos=(END,), pad=0), seed=5).eval()
    model.load_state_dict(toy.state_dict())
    actual = model.generate(together, 6)
    assert max(map(len, actual.seg_embeddings)) > 1
    assert sum(len(embeddings) > 0 for embeddings in actual.seg_embeddings) > 1
    for (name, sample), answer, embeddings in zip(
        kinds.items(), actual.tokens, actual.seg_embeddings, strict=True
    ):
        alone = model.generate(sample, 6)
        assert answer.tolist() == alone.tokens[0].tolist(), name
        torch.testing.assert_close(embeddings, alone.seg_embeddings[0], atol=1e-4, rtol=1e-4, msg=name)


def test_the_golden_case_holds_for_packed_sequences(golden_case: GoldenCase):
    """Catches a pack that differs from the reference's padded batch, labels and losses included."""
    from training.loop.losses import compute_losses

    model = golden_model(golden_case)
    model.language.packing = True
    assert [row.name for row in compare(golden_case, model, compute_losses) if not row.ok] == []
