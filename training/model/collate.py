"""Examples -> Batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.model.batch import Batch
from training.model.processor import Example
from training.model.tokens import IGNORE


def collate(examples: Sequence[Example], *, pad_id: int) -> Batch:
    """One micro-batch; text is padded on the right up to the longest. Masks stay per sample, object-major."""
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
    answered = all(e.labels is not None for e in examples)
    return Batch(
        input_ids=ids,
        labels=labels if answered else None,
        attention_mask=mask,
        video=torch.stack([e.video for e in examples]),
        region_frames=[e.region_frames for e in examples],
        region_masks=[e.region_masks for e in examples],
        region_frame_indices=[e.region_frame_indices for e in examples],
        sam_frames=[e.sam_frames for e in examples],
        gt_masks=[e.gt_masks for e in examples],
    )
