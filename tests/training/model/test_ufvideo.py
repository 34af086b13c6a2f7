"""The assembled model: order of masks, generation, gradients of micro-batches without masks or regions."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pipeline.plan.evaluation import SegState
from pipeline.plan.model import LossWeights, ModelConfig
from pipeline.plan.parts import PUBLISHED_TRAINED, Part
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.packing import PackedSequences
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

VIDEO, REGION, SEG = -201, 50, 51


def _with_masks(batch: Batch, config: ModelConfig, objects: list[int], frames: int = 4) -> Batch:
    """Adds SAM frames and random truth to the samples that have objects."""
    side = config.sam2.image_size
    generator = torch.Generator().manual_seed(3)
    sam = [torch.randn(frames, 3, side, side, generator=generator) if n else None for n in objects]
    truth = [(torch.rand(n, frames, 40, 56, generator=generator) > 0.5) if n else None for n in objects]
    return dataclasses.replace(batch, sam_frames=sam, gt_masks=truth)


def _with_regions(batch: Batch, config: ModelConfig, indices: list[list[list[int]]]) -> Batch:
    side = config.vision.image_size
    counts = [1 + max((f for region in sample for f in region), default=-1) for sample in indices]
    pairs = [sum(map(len, sample)) for sample in indices]
    generator = torch.Generator().manual_seed(4)
    return dataclasses.replace(
        batch,
        region_frames=[torch.randn(k, 3, side, side, generator=generator) for k in counts],
        region_masks=[torch.rand(n, 30, 30, generator=generator) > 0.7 for n in pairs],
        region_frame_indices=indices,
    )


def test_masks_are_object_major_for_three_objects_on_four_frames(toy: UFVideo, toy_config, text_batch):
    """Catches frames or embeddings repeated in the other order, alone or both: masks of frames by objects."""
    batch = text_batch([[5, VIDEO, 7], [6, VIDEO, 8]], [[9, SEG, 4, SEG, 3, SEG, 2], [SEG, 2]])
    batch = _with_masks(batch, toy_config, [3, 1])
    with torch.no_grad():
        output = toy(dataclasses.replace(batch, gt_masks=[]))
        predicts = output.next_labels == SEG
        segs = toy.segmentation.head(output.hidden[predicts]).split([3, 1])
    for masks, seg, frames in zip(output.mask_logits, segs, batch.sam_frames, strict=True):
        assert masks.shape[:2] == (len(seg), 4)
        for o in range(len(seg)):
            for f in range(4):
                alone = toy.segmentation.decode_masks(frames[f : f + 1], seg[o : o + 1])[0, 0]
                torch.testing.assert_close(masks[o, f], alone, atol=1e-4, rtol=1e-4)
    three = output.mask_logits[0]
    assert (three - three.transpose(0, 1).flatten(0, 1).unflatten(0, (3, 4))).abs().max() > 0.1


def test_masks_of_many_frames_do_not_depend_on_the_chunk(toy: UFVideo, toy_config):
    """Catches chunks that are joined along objects, and a frame-major decoder."""
    side = toy_config.sam2.image_size
    frames, seg = torch.randn(5, 3, side, side), torch.randn(2, 256)
    whole = toy.segmentation.decode_masks(frames, seg, chunk_frames=8, size=(20, 30))
    assert whole.shape == (2, 5, 20, 30)
    torch.testing.assert_close(
        toy.segmentation.decode_masks(frames, seg, chunk_frames=2, size=(20, 30)), whole
    )
    assert toy.segmentation.decode_masks(frames, seg[:0], size=(20, 30)).shape == (0, 5, 20, 30)


@pytest.fixture(scope="module")
def free(toy: UFVideo, text_batch) -> tuple[Batch, list[torch.Tensor]]:
    """Prompts of three lengths and what the random model answers to them."""
    batch = text_batch([[5, VIDEO, 7, 8, 9, 10], [6, VIDEO], [11, 12, VIDEO, 13]], [[], [], []])
    tokens = toy.generate(batch, max_new_tokens=6).tokens
    assert all(len(t) for t in tokens)
    return batch, tokens


def _with_seg_id(toy: UFVideo, *, seg: int, eos: int = 59) -> UFVideo:
    """The same weights with another id for [SEG], which the random model does generate."""
    model = build_model(toy.config, TokenIds(region=REGION, seg=seg, eos=(eos,), pad=0), seed=5).eval()
    model.load_state_dict(toy.state_dict())
    return model


@pytest.mark.parametrize("position", [0, 1, 4])
def test_generated_seg_states_are_those_of_teacher_forcing(toy: UFVideo, free, text_batch, position: int):
    """Catches the state one position earlier, as in the published code, and the state at [SEG] itself."""
    batch, tokens = free
    seg = int(tokens[0][position])
    model = _with_seg_id(toy, seg=seg)
    made = model.generate(batch, max_new_tokens=6)
    assert torch.equal(made.tokens[0], tokens[0])
    prompts = [row[keep].tolist() for row, keep in zip(batch.input_ids, batch.attention_mask, strict=True)]
    forced = text_batch(prompts, [t.tolist() for t in made.tokens])
    with torch.no_grad():
        embeds = model.rows(dataclasses.replace(forced, video=batch.video))
        for i, row in enumerate(embeds):
            hidden = model.language.hidden(PackedSequences.of([row]))
            before = [p - 1 for p in range(len(row.labels)) if row.labels[p] == seg]
            expected = model.segmentation.head(hidden[before])
            torch.testing.assert_close(made.seg_embeddings[i], expected, atol=1e-4, rtol=1e-4)
    assert len(made.seg_embeddings[0]) == int((tokens[0] == seg).sum()) > 0


@pytest.mark.parametrize(("position", "found"), [(0, 0), (1, 1), (4, 1)])
def test_published_seg_states_are_one_position_earlier(toy: UFVideo, free, position: int, found: int):
    """Catches an option without effect, and a mask for a [SEG] that begins the answer."""
    batch, tokens = free
    answer = tokens[0].tolist()
    seg = answer[position]
    if answer.index(seg) != position:
        pytest.skip("the random model generates this token earlier as well")
    model = _with_seg_id(toy, seg=seg)
    made = model.generate(batch, max_new_tokens=position + 1, seg_state=SegState.PUBLISHED)
    assert len(made.seg_embeddings[0]) == found
    if found:
        # The state that predicts the token before, from which a [SEG] in its place would get its mask.
        earlier = _with_seg_id(toy, seg=answer[position - 1]).generate(batch, max_new_tokens=position)
        torch.testing.assert_close(made.seg_embeddings[0][-1], earlier.seg_embeddings[0][-1])


def test_batched_generation_equals_one_by_one(toy: UFVideo, free):
    """Catches attention to padding, a cache that loses entries, and states of another row."""
    batch, tokens = free
    model = _with_seg_id(toy, seg=int(tokens[1][0]))
    together = model.generate(batch, max_new_tokens=6)
    for i in range(batch.size):
        keep = slice(i, i + 1)
        single = Batch(
            input_ids=batch.input_ids[keep],
            attention_mask=batch.attention_mask[keep],
            video=batch.video[keep],
        )
        alone = model.generate(single, max_new_tokens=6)
        assert torch.equal(alone.tokens[0], together.tokens[i])
        torch.testing.assert_close(alone.seg_embeddings[0], together.seg_embeddings[i], atol=1e-4, rtol=1e-4)


def test_left_padded_input_gives_the_same_answers(toy: UFVideo, free):
    """Catches prompts that are taken from the left edge, padding and all."""
    batch, tokens = free
    ids, mask = batch.input_ids.clone(), batch.attention_mask.clone()
    for i, keep in enumerate(batch.attention_mask):
        ids[i], mask[i] = 0, False
        ids[i, len(keep) - int(keep.sum()) :] = batch.input_ids[i][keep]
        mask[i, len(keep) - int(keep.sum()) :] = True
    moved = toy.generate(dataclasses.replace(batch, input_ids=ids, attention_mask=mask, labels=None), 6)
    assert all(torch.equal(a, b) for a, b in zip(moved.tokens, tokens, strict=True))


def test_generation_stops_at_the_end_token(toy: UFVideo, free):
    """Catches an answer that goes on after its end because another one is not finished."""
    batch, tokens = free
    end = int(tokens[2][2])
    first = tokens[2].tolist().index(end)
    made = _with_seg_id(toy, seg=SEG, eos=end).generate(batch, max_new_tokens=6)
    assert made.tokens[2].tolist() == tokens[2][: first + 1].tolist()


@pytest.mark.parametrize("parts", [PUBLISHED_TRAINED, tuple(Part)], ids=["published", "all"])
def test_a_micro_batch_without_masks_and_regions_does_not_run_their_parts(
    toy_config: ModelConfig, tokens, text_batch, parts: tuple[Part, ...]
):
    """Catches SAM 2 or the region encoder run without input, and a used part that gets no gradient."""
    model = build_model(toy_config, tokens, seed=5).train()
    model.set_trainable(parts)
    plain = text_batch([[5, VIDEO, 7], [6, VIDEO]], [[9, 2], [10, 11, 2]])
    full = text_batch([[5, VIDEO, REGION], [6, VIDEO]], [[9, 2], [10, SEG, 2]])
    full = _with_regions(_with_masks(full, toy_config, [0, 1]), toy_config, [[[0, 1, 2, 3, 4, 5]], []])
    trained = {name for name, p in model.named_parameters() if p.requires_grad}

    def gradients(batch: Batch) -> dict[str, torch.Tensor]:
        model.zero_grad(set_to_none=True)
        compute_losses(model(batch), batch.gt_masks, LossWeights())["total"].backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    with_all, without = gradients(full), gradients(plain)
    assert with_all.keys() == trained
    unused = {n for n in trained if n.startswith(("regions.", "segmentation."))}
    assert without.keys() == trained - unused
    assert sum(with_all[n].abs().max() > 0 for n in unused) > 0.8 * len(unused)
    assert without["language.lm.lm_head.weight"].abs().max() > 0


def test_text_without_a_video_shares_a_batch_with_videos(toy: UFVideo, toy_config, text_batch):
    """Catches a video that goes to the wrong sample, and text that is given one."""
    prompts, answers = [[5, 7], [6, VIDEO, 8], [9, 4, 3]], [[9, 2], [10, SEG, 2], [2]]
    mixed = text_batch(prompts, answers)
    mixed = dataclasses.replace(mixed, video=mixed.video[1:2], has_video=[False, True, False])
    mixed = _with_masks(mixed, toy_config, [0, 1, 0])
    with torch.no_grad():
        output = toy(mixed)
        assert output.lengths == (4, toy_config.video_tokens + 5, 4)
        assert [m is not None for m in output.mask_logits] == [False, True, False]
        text = {name: getattr(mixed, name)[:1] for name in ("input_ids", "attention_mask", "labels")}
        alone = toy(Batch(**text, video=mixed.video[:0], has_video=[False]))
    torch.testing.assert_close(alone.hidden, output.hidden[:4], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="3 samples with 1 videos"):
        dataclasses.replace(mixed, has_video=[])


def test_absent_masks_add_nothing_to_the_loss(toy: UFVideo, text_batch):
    batch = text_batch([[5, VIDEO, 7]], [[9, 2]])
    output = toy(batch)
    made = compute_losses(output, [], LossWeights())
    assert made["bce"].item() == made["dice"].item() == 0
    assert made["total"].item() == made["ce"].item() > 0


def test_losses_follow_their_formulas(toy: UFVideo):
    """Catches a mean over samples instead of masks, another smoothing, and sums over pixels in bf16."""
    from training.loop.losses import mask_losses

    logits, truth = torch.randn(3, 4, 6, 7), (torch.rand(3, 4, 6, 7) > 0.5).float()
    bce, dice = mask_losses([logits, None, logits[:1]], [truth, None, truth[:1]])
    p = torch.cat([logits, logits[:1]]).sigmoid().flatten(0, 1).flatten(1)
    g = torch.cat([truth, truth[:1]]).flatten(0, 1).flatten(1)
    expected = -(g * p.log() + (1 - g) * (1 - p).log()).mean()
    torch.testing.assert_close(bce, expected)
    overlap = (2 * (p * g).sum(1) + 1e-3) / (p.sum(1) + g.sum(1) + 1e-3)
    torch.testing.assert_close(dice, (1 - overlap).mean())
    half = logits.bfloat16()
    for made, reference in zip(
        mask_losses([half], [truth]), mask_losses([half.float()], [truth]), strict=True
    ):
        assert torch.equal(made, reference)


@pytest.mark.parametrize(
    ("prompt", "answer", "objects", "message"),
    [
        ([5, 7], [2], 0, "0 video placeholders"),
        ([VIDEO, VIDEO], [2], 0, "2 video placeholders"),
        ([VIDEO, REGION], [2], 0, "0 regions and 1 region tokens"),
        ([VIDEO], [SEG, 2], 0, "no SAM frames"),
        ([VIDEO], [SEG, 2], 2, "answer has 1 \\[SEG\\]"),
    ],
)
def test_inconsistent_inputs_are_refused(
    toy: UFVideo, toy_config, text_batch, prompt, answer, objects, message
):
    with pytest.raises(ValueError, match=message):
        toy(_with_masks(text_batch([prompt], [answer]), toy_config, [objects]))


def test_a_seg_in_the_question_is_not_a_target(toy: UFVideo, text_batch):
    """Catches a search for [SEG] in the ids instead of in the labels."""
    output = toy(text_batch([[5, VIDEO, SEG]], [[9, 2]]))
    assert output.mask_logits == [None]


def test_the_seed_fixes_the_weights(toy: UFVideo, toy_config, tokens):
    before = torch.random.get_rng_state()
    again = build_model(toy_config, tokens, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), toy.parameters(), strict=True))
    other = build_model(toy_config, tokens, seed=6)
    assert not torch.equal(other.connector.readout[0].weight, toy.connector.readout[0].weight)


def test_a_token_outside_the_vocabulary_is_refused(toy_config):
    with pytest.raises(ValueError, match="set it to at least 1000"):
        build_model(toy_config, TokenIds(region=50, seg=999, eos=(2,), pad=0), seed=0)
