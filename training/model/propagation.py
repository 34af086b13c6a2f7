"""Mask propagation: [SEG] prompts a few frames, and SAM 2's memory propagates the masks to the others.

The published model prompts every frame with the [SEG] embedding and never uses SAM 2's memory. Propagation is
for long videos, where the position in earlier frames distinguishes an object from similar ones. The masks of
the prompted frames enter SAM 2 (arXiv:2408.00714) as mask prompts, through its public interface. Whether an
object is present in the other frames is SAM 2's own prediction, which frame-by-frame decoding does not use:
the logits are -1024 where it is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from pipeline.errors import UserError
from training.model.segmentation import FrameFeatures, Segmentation, to_size


def prompted_frames(count: int, prompts: int) -> tuple[int, ...]:
    """Which of ``count`` frames [SEG] prompts: the distinct middles of ``prompts`` equal parts."""
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
    """Mask logits [O, S, S] of the frames 0, 1, … ``count`` - 1, at SAM 2's input size. Positive: object.

    ``frame(i)`` gives frame i as [3, S, S], normalised for SAM 2. It is called and encoded once per frame:
    first for the ``prompts`` frames that [SEG] prompts, then for the others in order. Memory holds the masks
    of the prompted frames and the frames that SAM 2 attends to, regardless of the video's length. The memory
    encoder runs only for frames that are attended to later: not for the last one, and not at all if every
    frame is prompted.

    Raises ValueError without an object or a prompt, and UserError for a SAM 2 whose memory cannot run.
    """
    config = segmentation.config
    if config.hidden_dim <= config.memory_dim:  # transformers cannot put object pointers beside its memories
        raise UserError(
            "prompted_frames",
            f"needs SAM 2's memory, which runs only where sam2.hidden_dim is above sam2.memory_dim; they "
            f"are {config.hidden_dim} and {config.memory_dim} here.",
            "Prompt every frame, or train a model with a larger hidden_dim.",
        )
    if not len(seg_OD) or prompts < 1:
        raise ValueError(
            f"{len(seg_OD)} objects and {prompts} prompted frames; at least one of each is needed"
        )
    sam, side = segmentation.sam, segmentation.config.image_size
    session: Sam2VideoInferenceSession | None = None
    prompted: dict[int, Tensor] = {}
    prompted_indices = prompted_frames(count, prompts)
    tracked = [index for index in range(count) if index not in set(prompted_indices)]
    for index in prompted_indices:
        pixels = frame(index)
        features = segmentation.encode(pixels[None])
        logits_OSS = segmentation.decode(features, seg_OD)[:, 0]
        if not tracked:
            yield logits_OSS
            continue
        prompted[index] = logits_OSS
        session = session or _session(pixels, len(seg_OD))
        for at in range(len(seg_OD)):
            session.add_mask_inputs(at, index, (logits_OSS[at] > 0)[None, None])
        session.obj_with_new_inputs = list(session.obj_ids)
        _cache_features(segmentation, session, index, features)
        with _single_mask_pointers(sam):
            sam(session, frame=pixels, frame_idx=index)
        _evict(session, index)
    for index in range(count) if tracked else ():
        if index in prompted:
            yield prompted.pop(index)
            continue
        assert session is not None
        pixels = frame(index)
        _cache_features(segmentation, session, index, segmentation.encode(pixels[None]))
        output = sam(session, frame=pixels, frame_idx=index, run_mem_encoder=index != tracked[-1])
        _evict(session, index, oldest=index - sam.config.max_object_pointers_in_encoder + 1)
        yield to_size(output.pred_masks.float(), side, side)[:, 0]


@contextmanager
def _single_mask_pointers(sam: Sam2VideoModel) -> Iterator[None]:
    """Makes SAM 2 compute the object pointers of a frame with mask prompts from the token for a single mask,
    as its authors do, and not from the best of the three multimask tokens, as transformers 5.23 does."""
    one_mask = partial(sam._single_frame_forward, multimask_output=False)
    sam._single_frame_forward = one_mask  # type: ignore[method-assign]
    try:
        yield
    finally:
        del sam._single_frame_forward  # restores the method of the class


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


def _cache_features(
    segmentation: Segmentation, session: Sam2VideoInferenceSession, index: int, features: FrameFeatures
) -> None:
    """Puts the features of a frame into SAM 2's cache, so that it does not encode the frame again."""
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


def _evict(session: Sam2VideoInferenceSession, index: int, oldest: int = 0) -> None:
    """Drops the frame's pixels, its masks at full size, and the frames before ``oldest``."""
    assert session.processed_frames is not None
    session.processed_frames.pop(index)
    for outputs in session.output_dict_per_obj.values():
        for by_frame in outputs.values():
            if index in by_frame:  # the frame's memory has been encoded; nothing reads them any more
                by_frame[index].pop("high_res_masks", None)
    unprompted = [o["non_cond_frame_outputs"] for o in session.output_dict_per_obj.values()]
    for by_frame in [*unprompted, *session.frames_tracked_per_obj.values()]:
        for old in [frame for frame in by_frame if frame < oldest]:
            del by_frame[old]
