"""The second way to make masks: [SEG] prompts a few frames, and SAM 2's memory carries them to the others.

The published model prompts every frame with the [SEG] embedding and never uses SAM 2's memory; this one is
for long videos, where an object that looks like others is told from them by where it was before. The masks of
the prompted frames enter SAM 2 (arXiv:2408.00714) as mask prompts, its own public way in. Whether an object
shows in a frame between is SAM 2's own verdict, which the frame-by-frame way does not ask: logits of -1024
where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from transformers import Sam2VideoInferenceSession

from training.model.segmentation import Segmentation, to_size


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

    ``frame(i)`` gives frame i as [3, S, S], normalised for SAM 2. It is asked once for each: first the
    ``prompts`` that [SEG] prompts, then the others in order. In memory are the masks of those that are
    prompted and what SAM 2 looks back at, however long the video is.

    Raises ValueError without an object or a prompt.
    """
    if not len(seg_OD) or prompts < 1:
        raise ValueError(
            f"{len(seg_OD)} objects and {prompts} prompted frames; at least one of each is needed"
        )
    sam, side = segmentation.sam, segmentation.config.image_size
    session: Sam2VideoInferenceSession | None = None
    known: dict[int, Tensor] = {}
    for index in prompted_frames(count, prompts):
        pixels = frame(index)
        session = session or _session(pixels, len(seg_OD))
        logits_OSS = segmentation.decode(segmentation.encode(pixels[None]), seg_OD)[:, 0]
        for at in range(len(seg_OD)):
            session.add_mask_inputs(at, index, (logits_OSS[at] > 0)[None, None])
        session.obj_with_new_inputs = list(session.obj_ids)
        sam(session, frame=pixels, frame_idx=index)
        _forget(session, index)
        known[index] = logits_OSS
    for index in range(count):
        if index in known:
            yield known[index]
            continue
        assert session is not None
        small_O1hw = sam(session, frame=frame(index), frame_idx=index).pred_masks
        _forget(session, index, oldest=index - sam.config.max_object_pointers_in_encoder + 1)
        yield to_size(small_O1hw.float(), side, side)[:, 0]


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


def _forget(session: Sam2VideoInferenceSession, index: int, oldest: int = 0) -> None:
    """Drops the frame's pixels, its masks at full size, and what no later frame will look back at."""
    assert session.processed_frames is not None
    session.processed_frames.pop(index)
    for outputs in session.output_dict_per_obj.values():
        for kept in outputs.values():
            if index in kept:  # its memory is made of them; from then on nobody reads them
                kept[index].pop("high_res_masks", None)
        outputs["non_cond_frame_outputs"].pop(oldest - 1, None)
    for tracked in session.frames_tracked_per_obj.values():
        tracked.pop(oldest - 1, None)
