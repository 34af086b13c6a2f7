"""UFVideo (arXiv:2512.11336): one model that talks about videos, their objects, times and masks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from pipeline.plan.evaluation import SegState
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import PUBLISHED_TRAINED, Part
from training.model.attention import built_with, choose_attention
from training.model.batch import Batch
from training.model.connector import Connector
from training.model.language import Language, splice
from training.model.packing import PackedRow, PackedSequences
from training.model.parts import ROWS
from training.model.recompute import recompute_layers
from training.model.regions import RegionEncoder
from training.model.segmentation import Segmentation, to_size
from training.model.tokens import IGNORE, TokenIds
from training.model.vision import VisionTower

CHUNK_FRAMES: Final = 8
"""Frames that are segmented in one pass: their masks are large at full size."""


@dataclass(frozen=True, kw_only=True)  # no slots: ZeRO-3's hooks look for tensors in its __dict__
class ModelOutput:
    """What the losses need. The B sequences after splicing, S tokens in all, lie behind one another."""

    lengths: tuple[int, ...]
    """tokens of each sequence, visual tokens included"""
    labels: Tensor
    """[S]"""
    next_labels: Tensor
    """[S]: the label of the token that each position predicts"""
    hidden: Tensor
    """[S, D]"""
    answer_logits: Tensor
    """[A, V]: predictions of the A tokens that bear a loss"""
    answer_targets: Tensor
    """[A]"""
    mask_logits: list[Tensor | None]
    """per sample [O, F, h, w] at the truth's size, or SAM 2's without truth; None without SAM frames"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """Greedy answers."""

    tokens: list[Tensor]
    """per sample [n] new token ids, the end-of-sequence token included where it came"""
    seg_embeddings: list[Tensor]
    """per sample [O, 256], one for each generated [SEG]"""


class UFVideo(nn.Module):
    """The whole model. Build it with ``training.model.build``, which also initialises it."""

    def __init__(self, config: ModelConfig, tokens: TokenIds) -> None:
        super().__init__()
        self.config, self.tokens = config, tokens
        attention = built_with(config.attention)
        width = config.language.hidden_size
        self.vision = VisionTower(config.vision, attention)
        self.connector = Connector(config.vision.hidden_size, width, config.connector)
        self.regions = RegionEncoder(config.vision.hidden_size, width, config.region.tokens_per_region)
        self.language = Language(config.language, attention)
        self.segmentation = Segmentation(width, config.sam2, attention)
        self.uniform_passes = False
        """Whether every pass runs every module, in one order, whatever its batch holds. Something tiny that
        counts nothing stands in for what the batch lacks: the results are the same."""
        self.set_trainable(PUBLISHED_TRAINED)

    def set_attention(self, device: torch.device, dtype: torch.dtype, *, required: bool = True) -> str:
        """Sets how vision tower and language model compute attention, now that it is known where they run.

        Until then a model is as fit for a CPU as for a GPU, whatever ``config.attention`` says: it is loaded,
        exported and merged anywhere. Call it with the model on its ``device`` and the ``dtype`` of the
        arithmetic. Segmentation stays as it was built. Returns transformers' name of what is set.

        Raises UserError if ``config.attention`` names flash attention and it cannot run there. Without
        ``required`` the name is a wish: the choice of a plan binds its training, not who uses the weights.
        """
        name = choose_attention(self.config.attention, device, dtype, required=required)
        self.vision.set_attention(name)
        self.language.set_attention(name)
        return name

    def part_parameters(self, part: Part) -> list[nn.Parameter]:
        """The parameters that training a part changes; parts share none."""
        return ROWS[part].trained(self)

    def set_trainable(self, parts: Collection[Part | str]) -> None:
        """Trains these parts and freezes all else. Raises ValueError for an unknown part."""
        self.requires_grad_(False)
        for part in parts:
            for parameter in self.part_parameters(Part(part)):
                parameter.requires_grad_(True)

    @property
    def deep_parts(self) -> dict[Part, nn.Module]:
        """The parts of many layers, which gradient checkpointing is offered for."""
        return {part: row.deep(self) for part, row in ROWS.items() if row.deep is not None}

    def gradient_checkpointing(self, parts: Collection[Part]) -> None:
        """Trades a second forward pass of these parts, and of no others, for their activations' memory."""
        for part, module in self.deep_parts.items():
            recompute_layers(module, part in parts)

    def visual_tokens(self, batch: Batch) -> tuple[Tensor, list[list[Tensor]]]:
        """Tokens [V, N, D] of the batch's videos, and per sample and region its tokens [m, D]."""
        videos, times = batch.video.shape[:2]
        counts = [len(frames) for frames in batch.region_frames]
        used = [frames for frames in batch.region_frames if len(frames)]
        patches = self._looked_at(torch.cat([batch.video.flatten(0, 1), *used]), batch.same_as)
        video, rest = patches[: videos * times], patches[videos * times :]
        video_VND = self.connector(video.unflatten(0, (videos, times)))
        if not any(len(masks) for masks in batch.region_masks):
            if self.uniform_passes:
                everywhere = patches.new_ones(1, self.config.vision.grid, self.config.vision.grid)
                spare = self.regions(patches[:1], [1], [everywhere], [[[0]]])
                video_VND = video_VND + _idle(spare[0][0])
            return video_VND, [[] for _ in range(batch.size)]
        return video_VND, self.regions(rest, counts, batch.region_masks, batch.region_frame_indices)

    def _looked_at(self, pictures_F3HW: Tensor, same_as_F: Tensor | None) -> Tensor:
        """Patches [F, N, D]; the vision tower sees each picture once, however often it comes."""
        distinct, place_F = _distinct(pictures_F3HW, same_as_F)
        patches = self.vision(distinct)
        return patches if place_F is None else patches[place_F]

    def rows(self, batch: Batch) -> list[PackedRow]:
        """Every sample's sequence with its visual tokens spliced in and its padding left out."""
        size = batch.size
        embeds = self.language.embed(batch.input_ids)
        if len(batch.video):
            video_VND, regions = self.visual_tokens(batch)
        else:
            video_VND, regions = batch.video.new_zeros(0, 0, 0), [[] for _ in range(size)]
            if self.uniform_passes:
                side = self.config.vision.image_size
                one = [True] + [False] * (size - 1)
                blank = batch.video.new_zeros(1, self.config.num_frames, 3, side, side)
                stand_in = replace(batch, video=blank, has_video=one, same_as=None)
                embeds = embeds + _idle(self.visual_tokens(stand_in)[0])
        videos = iter(video_VND)
        shown = [next(videos) if there else None for there in batch.has_video or [True] * size]
        labels = torch.full_like(batch.input_ids, IGNORE) if batch.labels is None else batch.labels
        real = batch.attention_mask.bool()
        return [
            splice(ids[keep], embed[keep], label[keep], video, region, self.tokens.region)
            for ids, embed, label, keep, video, region in zip(
                batch.input_ids, embeds, labels, real, shown, regions, strict=True
            )
        ]

    def forward(self, batch: Batch) -> ModelOutput:
        """Teacher-forced pass.

        Raises ValueError if placeholders, regions, [SEG] labels and masks of a sample do not fit together.
        """
        packed = PackedSequences.of(self.rows(batch))
        hidden, target = self.language.hidden(packed), packed.next_labels
        bears_loss = target != IGNORE
        answer_logits = self.language.logits(hidden[bears_loss])
        segs, spare = self._seg_embeddings(packed, hidden)
        masks, idle = self._masks(batch, segs, spare)
        return ModelOutput(
            lengths=packed.lengths,
            labels=packed.labels,
            next_labels=target,
            hidden=hidden,
            answer_logits=answer_logits if idle is None else answer_logits + idle,
            answer_targets=target[bears_loss],
            mask_logits=masks,
        )

    def _seg_embeddings(self, packed: PackedSequences, hidden_SD: Tensor) -> tuple[list[Tensor], Tensor]:
        """Per sample [O, 256]: the head's view of the states that PREDICT a [SEG], one position before it.

        And one embedding [1, 256] that stands in where there are none, if every pass has to have one.
        """
        predicts = packed.next_labels == self.tokens.seg
        counts = [int(part.sum()) for part in predicts.split(packed.lengths)]
        spare = self.uniform_passes and not any(counts)
        embeddings = self.segmentation.head(hidden_SD[:1] if spare else hidden_SD[predicts])
        found = sum(counts)
        return list(embeddings[:found].split(counts)), embeddings[found:]

    def _masks(
        self, batch: Batch, segs: list[Tensor], spare_1D: Tensor
    ) -> tuple[list[Tensor | None], Tensor | None]:
        """Per sample its mask logits; and the zero of a pass without any that runs SAM 2 all the same."""
        frames = batch.sam_frames or [None] * batch.size
        truths = batch.gt_masks or [None] * batch.size
        wanted = list(_pairs(frames, truths, segs))
        if not wanted:
            side, idle = self.config.sam2.image_size, None
            if self.uniform_passes:
                blank = self.segmentation.encode(spare_1D.new_zeros(1, 3, side, side))
                first = torch.zeros(1, dtype=torch.long, device=spare_1D.device)
                idle = _idle(self.segmentation.decode_pairs(blank, first, spare_1D))
            return [None if f is None else f.new_zeros(0, len(f), side, side) for f in frames], idle
        # One encoder pass and one decoder pass for the whole micro-batch, over its (object, frame) pairs; a
        # picture that a sample shows several times is one frame of these.
        same_as = batch.sam_same_as or [None] * batch.size
        shown, frame_P, seg_PD, shapes, places, start = [], [], [], [], [], 0
        for sample in wanted:
            sam = frames[sample]
            assert sam is not None
            distinct, place_F = _distinct(sam, same_as[sample])
            objects, count = len(segs[sample]), len(distinct)
            shown.append(distinct)
            frame_P.append(torch.arange(start, start + count, device=sam.device).repeat(objects))
            seg_PD.append(segs[sample].repeat_interleave(count, 0))
            shapes.append((objects, count))
            places.append(place_F)
            start += count
        features = self.segmentation.encode(torch.cat(shown))
        flat = self.segmentation.decode_pairs(features, torch.cat(frame_P), torch.cat(seg_PD))
        split = flat.split([objects * count for objects, count in shapes])
        masks = {
            i: m.unflatten(0, shape) if place is None else m.unflatten(0, shape)[:, place]
            for i, m, shape, place in zip(wanted, split, shapes, places, strict=True)
        }
        out: list[Tensor | None] = []
        for i, (sam, truth) in enumerate(zip(frames, truths, strict=True)):
            made = masks.get(i)
            if made is None:
                side = self.config.sam2.image_size
                made = None if sam is None else flat.new_zeros(0, len(sam), side, side)
            elif truth is not None:
                made = to_size(made, *truth.shape[-2:])
            out.append(made)
        return out, None

    @torch.no_grad()
    def generate(
        self, batch: Batch, max_new_tokens: int = 2048, seg_state: SegState = SegState.PREDICTING
    ) -> Generation:
        """Greedy answers to the batch's prompts, and the [SEG] embeddings of what was generated.

        The embeddings are made of the states that training uses, which are kept while the answer is written;
        ``seg_state`` chooses the published code's instead. ``batch.labels`` and masks are not read.
        """
        prompts = PackedSequences.of(self.rows(batch))
        tokens, states = self.language.greedy(prompts, self.tokens.eos, max_new_tokens, self.tokens.seg)
        if seg_state is SegState.PUBLISHED:
            # It looks a place too early, and finds nothing for a [SEG] that opens the answer. For one behind
            # a single token the published code takes every state of the prompt; this is the prompt's last.
            places = [(new == self.tokens.seg).nonzero().flatten() for new in tokens]
            chosen = [pairs[place > 0, 0] for pairs, place in zip(states, places, strict=True)]
        else:
            chosen = [pairs[:, 1] for pairs in states]
        made = self.segmentation.head(torch.cat(chosen))
        return Generation(tokens=tokens, seg_embeddings=list(made.split([len(c) for c in chosen])))

    @torch.no_grad()
    def decode_masks(
        self,
        frames_F3SS: Tensor,
        seg_OD: Tensor,
        chunk_frames: int = CHUNK_FRAMES,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Mask logits [O, F, h, w] on any number of frames, each encoded once for all objects.

        ``size`` is (height, width) in pixels; None keeps SAM 2's input size. Positive means object.
        """
        height, width = size or (self.config.sam2.image_size,) * 2
        chunks = [
            to_size(self.segmentation.decode(self.segmentation.encode(part), seg_OD), height, width)
            for part in frames_F3SS.split(chunk_frames)
        ]
        return torch.cat(chunks, 1) if chunks else frames_F3SS.new_zeros(len(seg_OD), 0, height, width)


def _distinct(pictures_F3HW: Tensor, same_as_F: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The pictures, each once, and where among them each of the F is; None where all differ."""
    if same_as_F is None:
        return pictures_F3HW, None
    first, place_F = same_as_F.unique(return_inverse=True)
    return (pictures_F3HW, None) if len(first) == len(place_F) else (pictures_F3HW[first], place_F)


def _idle(x: Tensor) -> Tensor:
    """Zero, but with a graph: whatever made ``x`` gets gradients of zero."""
    return x.sum() * 0.0


def _pairs(frames: list[Tensor | None], truths: list[Tensor | None], segs: list[Tensor]) -> Iterator[int]:
    """Samples that have something to decode, once it is sure that frames, truth and [SEG]s fit together."""
    for i, (sam, truth, seg) in enumerate(zip(frames, truths, segs, strict=True)):
        if sam is None and (len(seg) or truth is not None):
            raise ValueError(
                f"sample {i} of the batch: {len(seg)} [SEG] in its answer but no SAM frames to segment; give"
                f" sam_frames and gt_masks for it, or take [SEG] out of the answer"
            )
        if truth is not None and sam is not None and truth.shape[:2] != (len(seg), len(sam)):
            raise ValueError(
                f"sample {i} of the batch: masks for (objects, frames) = {tuple(truth.shape[:2])}, but its"
                f" answer has {len(seg)} [SEG] and {len(sam)} SAM frames; masks are [O, F, h, w], one object"
                f" per [SEG]"
            )
        if len(seg):
            yield i
