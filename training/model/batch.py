"""One micro-batch, as the model takes it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples. Masks are object-major everywhere: the first axis is objects, the second frames.

    ``input_ids`` and ``labels`` contain the placeholder and the region tokens; the model splices the visual
    tokens in. Padding may be on either side, where ``attention_mask`` is False.
    """

    input_ids: Tensor
    """[B, L] int64; a row has one video placeholder (-201), and one region token per region after it. A row
    of text alone has neither."""
    attention_mask: Tensor
    """[B, L] bool."""
    video: Tensor
    """[V, T, 3, H, W] float, normalised for the vision tower: of the samples that have a video, in order."""
    same_as: Tensor | None = None
    """[V * T + all K] int64: for every frame of all videos, then of all ``region_frames``, the index of the
    first equal one; the vision tower encodes only that one. None: all differ."""
    has_video: list[bool] = field(default_factory=list)
    """Per sample. An empty list: every sample has one, V = B."""
    labels: Tensor | None = None
    """[B, L] int64, -100 where there is no loss; None in generation."""
    region_frames: list[Tensor] = field(default_factory=list)
    """Per sample [K, 3, H, W], normalised as ``video``; K may be 0. An empty list: no sample has regions."""
    region_masks: list[Tensor] = field(default_factory=list)
    """Per sample [pairs, h, w]; one row per (region, frame) in the order of ``region_frame_indices``."""
    region_frame_indices: list[list[list[int]]] = field(default_factory=list)
    """Per sample, per region: which of the sample's ``region_frames`` show it."""
    sam_frames: list[Tensor | None] = field(default_factory=list)
    """Per sample [F, 3, S, S], normalised for SAM 2, or None if there is nothing to segment."""
    sam_same_as: list[Tensor | None] = field(default_factory=list)
    """Per sample [F] int64: for each of its SAM frames the index of the first equal one; SAM 2 encodes only
    that one. None, or an empty list: all differ."""
    gt_masks: list[Tensor | None] = field(default_factory=list)
    """Per sample [O, F, h, w] of 0 and 1, objects in the order of their [SEG]; or None."""

    def __post_init__(self) -> None:
        lists = (
            "region_frames",
            "region_masks",
            "region_frame_indices",
            "sam_frames",
            "sam_same_as",
            "gt_masks",
        )
        for name in lists:
            value = getattr(self, name)
            if value and len(value) != self.size:
                raise ValueError(f"batch of {self.size} samples with {len(value)} entries in {name}")
        if len(self.has_video) not in (0, self.size) or len(self.video) != (
            sum(self.has_video) if self.has_video else self.size
        ):
            raise ValueError(
                f"batch of {self.size} samples with {len(self.video)} videos; has_video says whose they are"
            )
        frame_count = self.video.shape[:2].numel() + sum(len(frames) for frames in self.region_frames)
        if self.same_as is not None and len(self.same_as) != frame_count:
            raise ValueError(f"batch of {frame_count} frames with {len(self.same_as)} entries in same_as")
        for frames, same_as in zip(self.sam_frames, self.sam_same_as, strict=False):
            if same_as is not None and (frames is None or len(frames) != len(same_as)):
                raise ValueError(f"{len(same_as)} entries in sam_same_as for another number of SAM frames")
        if not len(self.region_frames) == len(self.region_masks) == len(self.region_frame_indices):
            raise ValueError("region_frames, region_masks and region_frame_indices must be given together")

    @property
    def size(self) -> int:
        """B."""
        return self.input_ids.shape[0]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """A copy on another device; ``dtype`` is applied to pixels only, never to masks."""
        pixels = {"video", "region_frames", "sam_frames"}

        def move(name: str, value: object) -> object:
            if isinstance(value, Tensor):
                return value.to(device, dtype if name in pixels else None, non_blocking=True)
            if isinstance(value, list) and name not in ("region_frame_indices", "has_video"):
                return [move(name, item) for item in value]
            return value

        fields: dict[str, Any] = {
            f.name: move(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)
        }
        return Batch(**fields)
