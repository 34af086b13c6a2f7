"""Sample + decoded frames -> tensors. The same code prepares training, generation and scoring.

Pixels follow the published model: every frame is stretched to a square (the aspect ratio is not kept),
bicubic with mean and standard deviation 0.5 for SigLIP, bilinear with ImageNet's for SAM 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.media.files import VideoError
from pipeline.media.footage import Footage
from pipeline.media.frame_choice import frames_shown, frames_supervised, frames_to_segment
from pipeline.plan.model import ModelConfig
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample, Turn
from training.model.prompt import PromptCodec
from training.model.regions import on_grid

MAX_REGION_FRAMES: Final = 150
"""Most distinct frames that the regions of one sample may have; the published trainer has the same limit."""

_NO_MASKS = torch.zeros(0, 1, 1, dtype=torch.uint8)
_SIGLIP = (np.float32(127.5), np.float32(127.5))  # mean and standard deviation: 0.5 on a scale of 0-1
_SAM_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_SAM_STD = np.array([58.395, 57.12, 57.375], np.float32)


class View(StrEnum):
    """The two sizes in which the model gets a frame."""

    VISION = "vision"
    SAM = "sam"


@dataclass(frozen=True, kw_only=True, slots=True)
class FramesNeeded:
    """Frame indices of one sample, by purpose. ``video`` and ``sam`` may repeat, ``regions`` is ascending."""

    video: tuple[int, ...]
    regions: tuple[int, ...]
    sam: tuple[int, ...]

    @property
    def by_view(self) -> dict[View, tuple[int, ...]]:
        """Distinct indices to decode for each view, ascending."""
        views = {
            View.VISION: tuple(sorted({*self.video, *self.regions})),
            View.SAM: tuple(sorted(set(self.sam))),
        }
        return {view: indices for view, indices in views.items() if indices}


class FrameProvider(Protocol):
    """Source of decoded frames: training has a cache, evaluation decodes each frame once."""

    def get(self, sample: Sample, by_view: Mapping[View, Sequence[int]]) -> dict[View, dict[int, np.ndarray]]:
        """Resized frames [side, side, 3] uint8 by view and index. Raises VideoError."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One sample as model inputs; ``collate`` makes a Batch of several."""

    key: str
    input_ids: list[int]
    labels: list[int] | None
    video: Tensor | None  # [T, 3, H, W]; None for text alone
    region_frames: Tensor  # [K, 3, H, W]
    frame_numbers: tuple[int, ...] = ()  # of the T + K frames above; equal numbers are the same frame
    region_masks: Tensor  # [pairs, h, w] uint8
    region_frame_indices: list[list[int]] = field(default_factory=list)
    sam_frames: Tensor | None = None  # [F, 3, S, S]
    gt_masks: Tensor | None = None  # [O, F, h, w] uint8
    sam_indices: tuple[int, ...] = ()
    to_segment: tuple[int, ...] = ()  # of a prompt: the frames on which masks of its answer are wanted,
    mask_size: tuple[int, int] = (0, 0)  # and their height and width
    truncated: int = 0
    blank_regions: int = 0  # regions so small that they cover no patch: their features are zero


class Processor:
    """Turns samples into model inputs, for one model size, tokenizer and seed."""

    def __init__(
        self, config: ModelConfig, codec: PromptCodec, *, seed: int, max_text_tokens: int = 2048
    ) -> None:
        self.config, self.codec, self.seed, self.max_text_tokens = config, codec, seed, max_text_tokens

    def frames_needed(self, sample: Sample, *, epoch: int = 0, with_targets: bool = True) -> FramesNeeded:
        """All frames that have to be decoded for one visit of a sample.

        The SAM frames depend on (seed, key, epoch) alone. Raises ValueError if the targets share no
        annotated frame, or if the regions have more than MAX_REGION_FRAMES frames.
        """
        regions = sorted({f for track in sample.regions for f, _ in visible_frames(track)})
        if len(regions) > MAX_REGION_FRAMES:
            raise ValueError(f"{sample.key}: regions on {len(regions)} frames, at most {MAX_REGION_FRAMES}")
        video = tuple(frames_shown(sample, self.config.num_frames))
        sam: tuple[int, ...] = ()
        if with_targets and sample.targets:
            names = (self.seed, sample.key, epoch)
            sam = frames_supervised(
                sample,
                self.config.num_sam_frames,
                names=names,
                without_target=self.config.sam_frames_without_target,
            )
        return FramesNeeded(video=video, regions=tuple(regions), sam=sam)

    def training(self, sample: Sample, frames: FrameProvider, *, epoch: int) -> Example:
        """A sample with its answers and its ground-truth masks.

        Raises RefusedSample (text), ValueError (annotation) or VideoError (pixels).
        """
        text = self.codec.encode_training(
            sample.turns,
            max_text_tokens=self.max_text_tokens,
            regions=len(sample.regions),
            masks=len(sample.targets),
        )
        needed = self.frames_needed(sample, epoch=epoch)
        pixels = frames.get(sample, needed.by_view)
        sam = truth = None
        if needed.sam:
            sam = self.sam_pixels([pixels[View.SAM][i] for i in needed.sam])
            truth = self.truth(sample.targets, needed.sam)
        return Example(
            key=sample.key,
            input_ids=text.input_ids,
            labels=text.labels,
            sam_frames=sam,
            gt_masks=truth,
            sam_indices=needed.sam,
            truncated=text.truncated,
            **self._visual_inputs(sample, needed, pixels),
        )

    def text(self, key: str, turns: Sequence[Turn]) -> Example:
        """A conversation without a video. Prepared datasets have none: every sample there has its video.

        Raises RefusedSample.
        """
        text = self.codec.encode_training(
            turns, max_text_tokens=self.max_text_tokens, regions=0, masks=0, video=False
        )
        return Example(
            key=key,
            input_ids=text.input_ids,
            labels=text.labels,
            video=None,
            region_frames=self.vision_pixels([]),
            region_masks=_NO_MASKS,
            truncated=text.truncated,
        )

    def inference(
        self, sample: Sample, frames: FrameProvider, *, turns: Sequence[Turn] | None = None
    ) -> Example:
        """A prompt to be answered. ``turns`` replaces the sample's own; trailing answers are left out.

        Raises RefusedSample, ValueError or VideoError.
        """
        prompt = list(sample.turns if turns is None else turns)
        while prompt and prompt[-1].role == "assistant":
            prompt.pop()
        needed = self.frames_needed(sample, with_targets=False)
        to_segment, height, width = frames_to_segment(sample)
        pixels = frames.get(sample, needed.by_view)
        return Example(
            key=sample.key,
            input_ids=self.codec.encode_prompt(prompt, regions=len(sample.regions)),
            labels=None,
            to_segment=to_segment,
            mask_size=(height, width),
            **self._visual_inputs(sample, needed, pixels),
        )

    def truth(self, targets: Sequence[MaskTrack], indices: Sequence[int]) -> Tensor:
        """Ground-truth masks [O, F, h, w] uint8 of the targets on frames that are annotated for all of them.

        Sides longer than SAM 2's input are reduced to it: a pixel is set if at least half of its area is.
        """
        per_target = []
        for track in targets:
            at = {f: i for i, f in enumerate(track.frames)}
            counts = [track.counts[at[i]] for i in indices]
            per_target.append(masks.decode_many(counts, track.height, track.width))
        full = torch.from_numpy(np.ascontiguousarray(np.stack(per_target)))
        side = self.config.sam2.image_size
        height, width = (min(n, side) for n in full.shape[-2:])
        if (height, width) == tuple(full.shape[-2:]):
            return full
        return (F.adaptive_avg_pool2d(full.float(), (height, width)) >= 0.5).to(torch.uint8)

    def vision_pixels(self, frames: Sequence[np.ndarray]) -> Tensor:
        """[N, 3, H, W] float32 for the vision tower."""
        side = self.config.vision.image_size
        if not len(frames):
            return torch.zeros(0, 3, side, side)
        mean, std = _SIGLIP
        return _chw((np.stack(frames).astype(np.float32) - mean) / std)

    def sam_pixels(self, frames: Sequence[np.ndarray]) -> Tensor:
        """[N, 3, S, S] float32 for SAM 2."""
        return _chw((np.stack(frames).astype(np.float32) - _SAM_MEAN) / _SAM_STD)

    def side(self, view: View) -> int:
        """Side of a view's square, in pixels."""
        return self.config.vision.image_size if view is View.VISION else self.config.sam2.image_size

    def _visual_inputs(
        self, sample: Sample, needed: FramesNeeded, pixels: dict[View, dict[int, np.ndarray]]
    ) -> dict[str, Any]:
        """Fields of an Example for the vision tower: the video, and the frames and masks of the regions."""
        position = {frame: i for i, frame in enumerate(needed.regions)}
        rows: list[np.ndarray] = []
        indices: list[list[int]] = []
        blank = 0
        for track in sample.regions:
            visible = visible_frames(track)
            indices.append([position[frame] for frame, _ in visible])
            rows += (own := [masks.decode(counts, track.height, track.width) for _, counts in visible])
            covered = on_grid(torch.from_numpy(np.stack(own)), self.config.vision.grid)
            blank += not bool(covered.any())
        vision = pixels[View.VISION]
        return {
            "video": self.vision_pixels([vision[i] for i in needed.video]),
            "region_frames": self.vision_pixels([vision[i] for i in needed.regions]),
            "region_masks": torch.from_numpy(np.stack(rows)) if rows else _NO_MASKS,
            "region_frame_indices": indices,
            "frame_numbers": (*needed.video, *needed.regions),
            "blank_regions": blank,
        }


def visible_frames(track: MaskTrack) -> list[tuple[int, str]]:
    """The frames of a track with a non-empty mask, and these masks; the first frame alone if there are none.

    A frame without the object has no features to pool.
    """
    pairs = list(zip(track.frames, track.counts, strict=True))
    visible = [(f, c) for f, c in pairs if masks.area(c, track.height, track.width)]
    return visible or pairs[:1]


def decode_views(
    footage: Footage, by_view: Mapping[View, Sequence[int]], sides: Mapping[View, int]
) -> dict[View, dict[int, np.ndarray]]:
    """Frames of one video, decoded once and resized for each view that needs them.

    One picture at a time is in memory in its own size. Raises VideoError (unreadable), IndexError (no such
    frame) or UserError (the frame was not baked).
    """
    sets = {view: frozenset(indices) for view, indices in by_view.items()}
    out: dict[View, dict[int, np.ndarray]] = {view: {} for view in by_view}
    size: tuple[int, ...] | None = None
    for index, picture in footage.stream(sorted(frozenset().union(*sets.values()))):
        size = size or picture.shape
        if picture.shape != size:
            raise VideoError(f"{footage.place}: frame {index} is {picture.shape[:2]}, others are {size[:2]}")
        for view in sets:
            if index in sets[view]:
                out[view][index] = resize(picture, sides[view], view)
    return out


def resize(picture_HW3: np.ndarray, side: int, view: View) -> np.ndarray:
    """Stretch one RGB picture to [side, side, 3] uint8 with the view's filter (both antialias)."""
    from PIL import Image

    if picture_HW3.shape[:2] == (side, side):
        return picture_HW3.copy()
    filter_ = Image.Resampling.BICUBIC if view is View.VISION else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture_HW3).resize((side, side), filter_))


def _chw(pixels_NHW3: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels_NHW3, -1, 1), dtype=np.float32))
