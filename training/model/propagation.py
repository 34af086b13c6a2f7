"""The second way to make masks: [SEG] prompts a few frames, and SAM 2's memory carries them to the others.

The published model prompts every frame with the [SEG] embedding and never uses SAM 2's memory; this one is
for long videos, where an object that looks like others is told from them by where it was before. The masks of
the prompted frames enter SAM 2 (arXiv:2408.00714) as mask prompts, its own public way in. Whether an object
shows in a frame between is SAM 2's own verdict, which the frame-by-frame way does not ask: logits of -1024
where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from training.model.segmentation import FrameFeatures, Segmentation, to_size


def prompted_frames(count: int, prompts: int) -> tuple[int, ...]:
    """Which of ``count`` frames [SEG] prompts: the middles of ``prompts`` equal parts, each once."""
    parts = min(count, prompts)
    return tuple((2 * k + 1) * count // (2 * parts) for k in range(parts))


@torch.inference_mode()
def propagate(
    segmentation: Segmentation,
    frame: Callable[[int], Tensor],
    count: int,
    seg_OD: Tensor,
    *,
    prompts: int = 4,
) -> Iterator[Tensor]:
    """Mask logits [O, S, S] of frame 0, 1, … of ``count``, at SAM 2's input size. Positive means object.

    ``frame(i)`` gives frame i as [3, S, S], normalised for SAM 2. It is asked for once and encoded once:
    first the ``prompts`` that [SEG] prompts, then the others in order. In memory are the masks of those that
    are prompted and what SAM 2 looks back at, however long the video is. The memory encoder runs for what is
    looked back at: not for the last frame, and not at all where every frame is prompted.

    Raises ValueError without an object or a prompt.
    """
    if not len(seg_OD) or prompts < 1:
        raise ValueError(
            f"{len(seg_OD)} objects and {prompts} prompted frames; at least one of each is needed"
        )
    sam, side = segmentation.sam, segmentation.config.image_size
    session: Sam2VideoInferenceSession | None = None
    known: dict[int, Tensor] = {}
    chosen = prompted_frames(count, prompts)
    followed = [index for index in range(count) if index not in set(chosen)]
    for index in chosen:
        pixels = frame(index)
        features = segmentation.encode(pixels[None])
        logits_OSS = segmentation.decode(features, seg_OD)[:, 0]
        if not followed:
            yield logits_OSS
            continue
        known[index] = logits_OSS
        session = session or _session(pixels, len(seg_OD))
        for at in range(len(seg_OD)):
            session.add_mask_inputs(at, index, (logits_OSS[at] > 0)[None, None])
        session.obj_with_new_inputs = list(session.obj_ids)
        _show(segmentation, session, index, features)
        with _pointing_by_one_mask(sam):
            sam(session, frame=pixels, frame_idx=index)
        _forget(session, index)
    for index in range(count) if followed else ():
        if index in known:
            yield known.pop(index)
            continue
        assert session is not None
        pixels = frame(index)
        _show(segmentation, session, index, segmentation.encode(pixels[None]))
        made = sam(session, frame=pixels, frame_idx=index, run_mem_encoder=index != followed[-1])
        _forget(session, index, oldest=index - sam.config.max_object_pointers_in_encoder + 1)
        yield to_size(made.pred_masks.float(), side, side)[:, 0]


@contextmanager
def _pointing_by_one_mask(sam: Sam2VideoModel) -> Iterator[None]:
    """While a frame with mask prompts goes through SAM 2: its objects' pointers are made of the token for one
    mask, as by SAM 2's authors, and not of the best of the tokens for three, as transformers 5.23 does."""
    one_mask = partial(sam._single_frame_forward, multimask_output=False)
    sam._single_frame_forward = one_mask  # type: ignore[method-assign]
    try:
        yield
    finally:
        del sam._single_frame_forward  # the class's own is back


def _session(frame_3SS: Tensor, objects: int) -> Sam2VideoInferenceSession:
    session = Sam2VideoInferenceSession(
        inference_device=frame_3SS.device,
        inference_state_device=frame_3SS.device,
        video_storage_device=frame_3SS.device,
        dtype=frame_3SS.dtype,
    )
    for number in range(objects):
        session.obj_id_to_idx(number)
    return session


def _show(
    segmentation: Segmentation, session: Sam2VideoInferenceSession, index: int, features: FrameFeatures
) -> None:
    """Gives SAM 2 the features of a frame, so that it does not encode it again."""
    sam = segmentation.sam
    coarse = features.coarse_F - sam.no_memory_embedding.reshape(1, -1, 1, 1)
    levels = [
        sam.mask_decoder.conv_s0(features.fine_F),
        sam.mask_decoder.conv_s1(features.middle_F),
        coarse,
    ]
    places = sam.vision_encoder.neck.position_encoding(coarse.shape, coarse.device, coarse.dtype)
    session.cache.cache_vision_features(
        index, {"vision_feats": [_flat(x) for x in levels], "vision_pos_embeds": [_flat(places)]}
    )


def _flat(x_FChw: Tensor) -> Tensor:
    return x_FChw.flatten(2).permute(2, 0, 1)


def _forget(session: Sam2VideoInferenceSession, index: int, oldest: int = 0) -> None:
    """Drops the frame's pixels, its masks at full size, and what no later frame will look back at."""
    assert session.processed_frames is not None
    session.processed_frames.pop(index)
    for outputs in session.output_dict_per_obj.values():
        for kept in outputs.values():
            if index in kept:  # its memory is made of them; from then on nobody reads them
                kept[index].pop("high_res_masks", None)
    behind = [o["non_cond_frame_outputs"] for o in session.output_dict_per_obj.values()]
    for by_frame in [*behind, *session.frames_tracked_per_obj.values()]:
        for old in [frame for frame in by_frame if frame < oldest]:
            del by_frame[old]
