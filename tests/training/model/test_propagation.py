"""Masks that SAM 2's memory propagates from prompted frames to the others."""

from __future__ import annotations

import pytest
import torch
from transformers import Sam2VideoInferenceSession

from pipeline.plan.model import ModelConfig
from training.model import propagation
from training.model.build import build_model
from training.model.propagation import prompted_frames, propagate
from training.model.segmentation import to_size
from training.model.ufvideo import UFVideo


@pytest.fixture(scope="module")
def toy(toy_config: ModelConfig, tokens) -> UFVideo:
    """With random weights SAM 2 would often predict that no object is visible; here one always is."""
    model = build_model(toy_config, tokens, seed=5).eval()
    with torch.no_grad():
        model.segmentation.sam.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(100.0)
    return model


@pytest.fixture(scope="module")
def frames(toy_config) -> torch.Tensor:
    side = toy_config.sam2.image_size
    return torch.randn(9, 3, side, side, generator=torch.Generator().manual_seed(21))


@pytest.fixture(scope="module")
def seg() -> torch.Tensor:
    return torch.randn(2, 256, generator=torch.Generator().manual_seed(22))


def _propagated_masks(toy: UFVideo, frames: torch.Tensor, seg: torch.Tensor, prompts: int) -> torch.Tensor:
    masks = list(propagate(toy.segmentation, frames.__getitem__, len(frames), seg, prompts=prompts))
    return torch.stack(masks, 1)


@pytest.mark.parametrize(("count", "prompts", "chosen"), [(9, 2, (2, 6)), (3, 4, (0, 1, 2)), (8, 1, (4,))])
def test_prompts_are_spread_evenly(count: int, prompts: int, chosen: tuple[int, ...]):
    assert prompted_frames(count, prompts) == chosen


def test_prompted_frames_have_the_masks_that_are_decoded_without_memory(toy: UFVideo, frames, seg):
    masks = _propagated_masks(toy, frames, seg, 2)
    assert masks.shape == (2, 9, *frames.shape[-2:])
    without_memory = toy.segmentation.decode_masks(frames, seg)
    for index in range(9):
        same = torch.allclose(masks[:, index], without_memory[:, index], atol=1e-4)
        assert same == (index in (2, 6)), index
    everywhere = _propagated_masks(toy, frames, seg, 9)
    torch.testing.assert_close(everywhere, without_memory, atol=1e-4, rtol=1e-4)


def test_a_frame_after_a_prompted_one_depends_on_its_memory(toy: UFVideo, frames, seg):
    """Catches: a memory that is not read. Another object on the prompted frame, another mask after it."""
    masks, other = _propagated_masks(toy, frames, seg, 1), _propagated_masks(toy, frames, seg.flip(0), 1)
    torch.testing.assert_close(masks.flip(0)[:, 4], other[:, 4])
    assert (masks[0, 5] - masks[1, 5]).abs().max() > 1e-3
    torch.testing.assert_close(masks.flip(0), other, atol=1e-3, rtol=1e-3)


def test_each_frame_is_encoded_once_and_enters_memory_only_where_it_is_attended_to(
    toy: UFVideo, frames, seg, monkeypatch
):
    """Catches: SAM 2's own second encoding of a prompted frame, or a memory of other features."""
    runs: list[str] = []
    sam = toy.segmentation.sam
    hooks = [
        part.register_forward_hook(lambda *_, name=name: runs.append(name))
        for name, part in {"encoder": sam.vision_encoder.backbone, "memory": sam.memory_encoder}.items()
    ]
    try:
        for prompts, remembered in ((2, 8), (8, 8), (9, 0)):
            runs.clear()
            masks = _propagated_masks(toy, frames, seg, prompts)
            assert (runs.count("encoder"), runs.count("memory")) == (9, remembered), prompts
            monkeypatch.setattr(propagation, "_cache_features", lambda *_: None)
            torch.testing.assert_close(
                _propagated_masks(toy, frames, seg, prompts), masks, atol=1e-4, rtol=1e-4
            )
            monkeypatch.undo()
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("prompts", [1, 3])
def test_masks_are_those_of_sam_s_own_propagation(toy: UFVideo, toy_config, seg, prompts: int):
    """Catches: a frame that leaves memory while SAM 2 attends to it, or is processed in another order.

    The reference is transformers' own loop over a session that keeps the whole video, which is longer than
    SAM 2's memory.
    """
    sam, side = toy.segmentation.sam, toy_config.sam2.image_size
    count = sam.config.max_object_pointers_in_encoder + 8
    frames = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(23))
    masks = _propagated_masks(toy, frames, seg, prompts)
    session = Sam2VideoInferenceSession(video=frames, video_height=side, video_width=side, dtype=frames.dtype)
    chosen = prompted_frames(count, prompts)
    with torch.inference_mode():
        for index in chosen:
            for at, mask in enumerate(
                toy.segmentation.decode_masks(frames[index : index + 1], seg)[:, 0] > 0
            ):
                session.obj_id_to_idx(at)
                session.add_mask_inputs(at, index, mask[None, None])
            session.obj_with_new_inputs = list(session.obj_ids)
            with propagation._single_mask_pointers(sam):
                sam(session, frame_idx=index)
        whole = [o.pred_masks for o in sam.propagate_in_video_iterator(session, start_frame_idx=0)]
    for index in sorted(set(range(count)) - set(chosen)):
        expected = to_size(whole[index], side, side)[:, 0]
        torch.testing.assert_close(masks[:, index], expected, atol=1e-4, rtol=1e-4, msg=f"frame {index}")


def test_object_pointers_of_prompted_frames_come_from_the_single_mask_token(toy: UFVideo, frames, seg):
    """Catches: pointers as transformers makes them, from the best of three tokens, with which SAM 2's memory
    was not trained. `make test-sam2` compares the resulting masks with those of SAM 2's own code."""
    requested: list[bool] = []
    decoder = toy.segmentation.sam.mask_decoder
    hook = decoder.register_forward_pre_hook(
        lambda _, args, named: requested.append(named["multimask_output"]), with_kwargs=True
    )
    try:
        _propagated_masks(toy, frames, seg, 2)
    finally:
        hook.remove()
    # A prompted frame: the masks of both embeddings at once, then a pointer for each. Then seven by memory.
    assert requested == [True, False, False] * 2 + [True, True] * 7
    assert "_single_frame_forward" not in vars(toy.segmentation.sam)


def test_masks_of_an_object_do_not_depend_on_the_other_objects(toy: UFVideo, frames, seg):
    together, alone = _propagated_masks(toy, frames, seg, 2), _propagated_masks(toy, frames, seg[1:], 2)
    torch.testing.assert_close(together[1:], alone, atol=1e-3, rtol=1e-3)


def test_a_long_video_takes_no_more_memory(toy: UFVideo, frames, seg, monkeypatch):
    """Catches: outputs of old frames that are kept. Only those to which SAM 2 attends are."""
    sessions = []
    new_session = propagation._session
    monkeypatch.setattr(propagation, "_session", lambda *a: sessions.append(new_session(*a)) or sessions[-1])
    memory_length = toy.segmentation.sam.config.max_object_pointers_in_encoder
    requested: list[int] = []

    def frame(index: int) -> torch.Tensor:
        requested.append(index)
        return frames[index % 9]

    for _ in propagate(toy.segmentation, frame, memory_length + 12, seg[:1], prompts=2):
        (session,) = sessions
        assert not session.processed_frames
        outputs = session.output_dict_per_obj[0]
        assert len(outputs["non_cond_frame_outputs"]) <= memory_length
        assert all("high_res_masks" not in kept for which in outputs.values() for kept in which.values())
    assert len(requested) == memory_length + 12


def test_propagation_without_objects_is_refused(toy: UFVideo, frames, seg):
    with pytest.raises(ValueError, match="0 objects"):
        list(propagate(toy.segmentation, frames.__getitem__, 9, seg[:0]))
