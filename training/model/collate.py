"""Examples -> Batch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch

from training.model.batch import Batch
from training.model.processor import Example
from training.model.tokens import IGNORE


def collate(examples: Sequence[Example], *, pad_id: int) -> Batch:
    """One micro-batch; text is padded on the right. Masks stay per sample, object-major.

    Raises ValueError if only some examples have labels.
    """
    labelled = {e.labels is not None for e in examples}
    if len(labelled) > 1:
        raise ValueError("some examples are for training and some are prompts; collate one kind at a time")
    longest = max(len(e.input_ids) for e in examples)
    ids = torch.full((len(examples), longest), pad_id, dtype=torch.int64)
    labels = torch.full_like(ids, IGNORE)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, example in enumerate(examples):
        n = len(example.input_ids)
        ids[row, :n] = torch.tensor(example.input_ids)
        mask[row, :n] = True
        if example.labels is not None:
            labels[row, :n] = torch.tensor(example.labels)
    videos = [e.video for e in examples if e.video is not None]
    return Batch(
        input_ids=ids,
        labels=labels if labelled == {True} else None,
        attention_mask=mask,
        video=torch.stack(videos) if videos else torch.zeros(0, 0, 3, 1, 1),
        same_as=_same_as(examples),
        has_video=[] if len(videos) == len(examples) else [e.video is not None for e in examples],
        region_frames=[e.region_frames for e in examples],
        region_masks=[e.region_masks for e in examples],
        region_frame_indices=[e.region_frame_indices for e in examples],
        sam_frames=[e.sam_frames for e in examples],
        sam_same_as=[_first_index(e.sam_indices) if e.sam_indices else None for e in examples],
        gt_masks=[e.gt_masks for e in examples],
    )


def _same_as(examples: Sequence[Example]) -> torch.Tensor:
    """``Batch.same_as``: frames of one sample with the same number are the same picture."""
    videos = [0 if e.video is None else len(e.video) for e in examples]
    keys = [(row, n) for row, e in enumerate(examples) for n in e.frame_numbers[: videos[row]]]
    keys += [(row, n) for row, e in enumerate(examples) for n in e.frame_numbers[videos[row] :]]
    return _first_index(keys)


def _first_index(keys: Sequence[Hashable]) -> torch.Tensor:
    """For each key the index of its first occurrence."""
    first: dict[Hashable, int] = {}
    return torch.tensor([first.setdefault(key, at) for at, key in enumerate(keys)], dtype=torch.int64)
