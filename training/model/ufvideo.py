"""UFVideo (arXiv:2512.11336): one model that talks about videos, their objects, times and masks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pipeline.plan.evaluation import SegState
from pipeline.plan.model import ModelConfig
from pipeline.plan.parts import PUBLISHED_TRAINED, Part
from training.model.attention import built_with, choose_attention
from training.model.batch import Batch
from training.model.connector import Connector
from training.model.language import Language
from training.model.packing import PackedRow, PackedSequences, splice
from training.model.parts import ROWS
from training.model.recompute import recompute_layers
from training.model.regions import RegionEncoder
from training.model.segmentation import Segmentation, to_size
from training.model.tokens import IGNORE, TokenIds
from training.model.vision import VisionTower


@dataclass(frozen=True, kw_only=True)  # no slots: ZeRO-3's hooks look for tensors in its __dict__
class ModelOutput:
    """What the losses need: the B sequences after splicing, concatenated to S tokens."""

    lengths: tuple[int, ...]
    """tokens of each sequence, visual tokens included"""
    labels: Tensor
    """[S]"""
    next_labels: Tensor
    """[S]: the label of the token that each position predicts"""
    hidden: Tensor
    """[S, D]"""
    answer_logits: Tensor
    """[A, V]: predictions of the A tokens that have a loss"""
    answer_targets: Tensor
    """[A]"""
    mask_logits: list[Tensor | None]
    """per sample [O, F, h, w] at the size of gt_masks, else SAM 2's input size; None without SAM frames"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """Greedy answers."""

    tokens: list[Tensor]
    """per sample [n] new token ids, including the end-of-sequence token if it was generated"""
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
        """Whether every forward pass runs every module in the same order, as ZeRO-3 needs. A small dummy
        input with zero weight replaces what a batch lacks: the results are the same."""
        self.set_trainable(PUBLISHED_TRAINED)

    def set_attention(self, device: torch.device, dtype: torch.dtype, *, required: bool = True) -> str:
        """Sets the attention implementation of vision tower and language model for the device they run on.

        Until then a model can be loaded, exported and merged on any device, whatever ``config.attention`` is.
        Call this with the model on its ``device`` and the ``dtype`` of the arithmetic. Segmentation is not
        changed. Returns transformers' name of the implementation.

        Raises UserError if ``config.attention`` is flash attention and it cannot run there. Without
        ``required`` another implementation is used then: a plan's choice is for its training, not for later
        users.
        """
        name = choose_attention(self.config.attention, device, dtype, required=required)
        self.vision.set_attention(name)
        self.language.set_attention(name)
        return name

    def part_parameters(self, part: Part) -> list[nn.Parameter]:
        """The parameters that training a part changes; parts share none."""
        return ROWS[part].trained(self)

    def set_trainable(self, parts: Collection[Part | str]) -> None:
        """Makes these parts trainable and freezes all others. Raises ValueError for an unknown part."""
        self.requires_grad_(False)
        for part in parts:
            for parameter in self.part_parameters(Part(part)):
                parameter.requires_grad_(True)

    @property
    def deep_parts(self) -> dict[Part, nn.Module]:
        """The parts with many layers, which support gradient checkpointing."""
        return {part: row.deep(self) for part, row in ROWS.items() if row.deep is not None}

    def gradient_checkpointing(self, parts: Collection[Part]) -> None:
        """Turns gradient checkpointing on for these parts, and off for all others."""
        for part, module in self.deep_parts.items():
            recompute_layers(module, part in parts)

    def visual_tokens(self, batch: Batch) -> tuple[Tensor, list[list[Tensor]]]:
        """Tokens [V, N, D] of the batch's videos, and per sample and region its tokens [m, D]."""
        videos, times = batch.video.shape[:2]
        counts = [len(frames) for frames in batch.region_frames]
        used = [frames for frames in batch.region_frames if len(frames)]
        patches = self._patches(torch.cat([batch.video.flatten(0, 1), *used]), batch.same_as)
        video, rest = patches[: videos * times], patches[videos * times :]
        video_VND = self.connector(video.unflatten(0, (videos, times)))
        if not any(len(masks) for masks in batch.region_masks):
            if self.uniform_passes:
                everywhere = patches.new_ones(1, self.config.vision.grid, self.config.vision.grid)
                dummy = self.regions(patches[:1], [1], [everywhere], [[[0]]])
                video_VND = video_VND + _zero(dummy[0][0])
            return video_VND, [[] for _ in range(batch.size)]
        return video_VND, self.regions(rest, counts, batch.region_masks, batch.region_frame_indices)

    def _patches(self, pictures_F3HW: Tensor, same_as_F: Tensor | None) -> Tensor:
        """Patches [F, N, D]; the vision tower encodes each distinct picture once."""
        distinct, index_F = _distinct(pictures_F3HW, same_as_F)
        patches = self.vision(distinct)
        return patches if index_F is None else patches[index_F]

    def rows(self, batch: Batch) -> list[PackedRow]:
        """Every sample's sequence with its visual tokens spliced in and its padding removed."""
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
                dummy = replace(batch, video=blank, has_video=one, same_as=None)
                embeds = embeds + _zero(self.visual_tokens(dummy)[0])
        remaining = iter(video_VND)
        videos = [next(remaining) if has else None for has in batch.has_video or [True] * size]
        labels = torch.full_like(batch.input_ids, IGNORE) if batch.labels is None else batch.labels
        real = batch.attention_mask.bool()
        return [
            splice(ids[keep], embed[keep], label[keep], video, region, self.tokens.region)
            for ids, embed, label, keep, video, region in zip(
                batch.input_ids, embeds, labels, real, videos, regions, strict=True
            )
        ]

    def forward(self, batch: Batch) -> ModelOutput:
        """Teacher-forced forward pass.

        Raises ValueError if placeholders, regions, [SEG] labels and masks of a sample do not match.
        """
        packed = PackedSequences.of(self.rows(batch))
        target = packed.next_labels
        has_loss = target != IGNORE
        hidden, answer_logits = self.language.hidden_and_logits(packed, has_loss)
        segs, dummy = self._seg_embeddings(packed.lengths, target, hidden)
        masks, zero = self._masks(batch, segs, dummy)
        return ModelOutput(
            lengths=packed.lengths,
            labels=packed.labels,
            next_labels=target,
            hidden=hidden,
            answer_logits=answer_logits if zero is None else answer_logits + zero,
            answer_targets=target[has_loss],
            mask_logits=masks,
        )

    def _seg_embeddings(
        self, lengths: tuple[int, ...], next_labels_S: Tensor, hidden_SD: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Per sample [O, 256]: the [SEG] head's output for the states that PREDICT a [SEG], one token before
        it.

        And a dummy [1, 256] for a batch without any, if every pass has to run SAM 2; else [0, 256].
        """
        predicts = next_labels_S == self.tokens.seg
        counts = [int(part.sum()) for part in predicts.split(lengths)]
        needs_dummy = self.uniform_passes and not any(counts)
        embeddings = self.segmentation.head(hidden_SD[:1] if needs_dummy else hidden_SD[predicts])
        found = sum(counts)
        return list(embeddings[:found].split(counts)), embeddings[found:]

    def _masks(
        self, batch: Batch, segs: list[Tensor], dummy_1D: Tensor
    ) -> tuple[list[Tensor | None], Tensor | None]:
        """Per sample its mask logits; and a zero with a graph if SAM 2 ran on a dummy only."""
        frames = batch.sam_frames or [None] * batch.size
        truths = batch.gt_masks or [None] * batch.size
        with_masks = list(_samples_with_masks(frames, truths, segs))
        if not with_masks:
            side, zero = self.config.sam2.image_size, None
            if self.uniform_passes:
                blank = self.segmentation.encode(dummy_1D.new_zeros(1, 3, side, side))
                first = torch.zeros(1, dtype=torch.long, device=dummy_1D.device)
                zero = _zero(self.segmentation.decode_pairs(blank, first, dummy_1D))
            return [None if f is None else f.new_zeros(0, len(f), side, side) for f in frames], zero
        # One encoder pass and one decoder pass for the whole micro-batch, over its (object, frame) pairs;
        # equal frames of a sample are encoded and decoded once.
        same_as = batch.sam_same_as or [None] * batch.size
        pictures, frame_P, seg_PD, shapes, indices, start = [], [], [], [], [], 0
        for sample in with_masks:
            sam = frames[sample]
            assert sam is not None
            distinct, index_F = _distinct(sam, same_as[sample])
            objects, count = len(segs[sample]), len(distinct)
            pictures.append(distinct)
            frame_P.append(torch.arange(start, start + count, device=sam.device).repeat(objects))
            seg_PD.append(segs[sample].repeat_interleave(count, 0))
            shapes.append((objects, count))
            indices.append(index_F)
            start += count
        features = self.segmentation.encode(torch.cat(pictures))
        flat = self.segmentation.decode_pairs(features, torch.cat(frame_P), torch.cat(seg_PD))
        split = flat.split([objects * count for objects, count in shapes])
        masks = {
            i: m.unflatten(0, shape) if index is None else m.unflatten(0, shape)[:, index]
            for i, m, shape, index in zip(with_masks, split, shapes, indices, strict=True)
        }
        out: list[Tensor | None] = []
        for i, (sam, truth) in enumerate(zip(frames, truths, strict=True)):
            logits = masks.get(i)
            if logits is None:
                side = self.config.sam2.image_size
                logits = None if sam is None else flat.new_zeros(0, len(sam), side, side)
            elif truth is not None:
                logits = to_size(logits, *truth.shape[-2:])
            out.append(logits)
        return out, None

    @torch.no_grad()
    def generate(
        self, batch: Batch, max_new_tokens: int = 2048, seg_state: SegState = SegState.PREDICTING
    ) -> Generation:
        """Greedy answers to the batch's prompts, and the embeddings of the generated [SEG] tokens.

        The embeddings come from the states that training uses, stored during generation; ``seg_state``
        selects those of the published code instead. ``batch.labels`` and masks are not read.
        """
        prompts = PackedSequences.of(self.rows(batch))
        tokens, states = self.language.greedy(prompts, self.tokens.eos, max_new_tokens, self.tokens.seg)
        if seg_state is SegState.PUBLISHED:
            # It reads one position too early, and has no state for a [SEG] at the start of the answer. For
            # one after a single token the published code takes every state of the prompt; this takes the last
            # one.
            positions = [(new == self.tokens.seg).nonzero().flatten() for new in tokens]
            chosen = [pairs[at > 0, 0] for pairs, at in zip(states, positions, strict=True)]
        else:
            chosen = [pairs[:, 1] for pairs in states]
        embeddings = self.segmentation.head(torch.cat(chosen))
        return Generation(tokens=tokens, seg_embeddings=list(embeddings.split([len(c) for c in chosen])))


def _distinct(pictures_F3HW: Tensor, same_as_F: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The distinct pictures, and the index [F] of each picture among them; None if all differ."""
    if same_as_F is None:
        return pictures_F3HW, None
    first, index_F = same_as_F.unique(return_inverse=True)
    return (pictures_F3HW, None) if len(first) == len(index_F) else (pictures_F3HW[first], index_F)


def _zero(x: Tensor) -> Tensor:
    """Zero, but with a graph: everything that ``x`` was computed from gets gradients of zero."""
    return x.sum() * 0.0


def _samples_with_masks(
    frames: list[Tensor | None], truths: list[Tensor | None], segs: list[Tensor]
) -> Iterator[int]:
    """Samples with masks to decode. Raises ValueError if frames, ground truth and [SEG]s do not match."""
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
