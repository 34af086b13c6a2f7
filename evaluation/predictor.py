"""The loaded model that answers: samples in, predictions out. Scoring and ``evaluation.predict`` share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor

from evaluation.frames import Frames
from evaluation.prediction import Prediction, Unreadable
from evaluation.preparing import UNREADABLE, Prepared, Preparer, Request, prediction, unreadable
from evaluation.read_ahead import ahead
from pipeline.media.footage import Footage
from pipeline.plan.evaluation import SegState
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample
from training.model.collate import collate
from training.model.processor import Example, View
from training.model.prompt import PromptCodec
from training.model.propagation import prompted_frames, propagate
from training.model.segmentation import CHUNK_FRAMES, to_size
from training.model.tokenizer import load_tokenizer
from training.model.weights.pretrained import from_pretrained


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedAnswer:
    """What a model generated, unchanged."""

    text: str
    segs: Tensor
    """[O, 256]: one for each [SEG] of the text that has a state to make a mask of"""
    ended: bool
    """whether it ended by itself and not at ``max_new_tokens``"""


class Predictor:
    """One loaded checkpoint on one device.

    ``model`` and ``tokenizer`` are folders, as ``from_pretrained`` and ``load_tokenizer`` take them;
    ``footage`` gives the frames of a sample's video. On a GPU weights and arithmetic are bfloat16 (autocast
    converts float32 inputs); on a CPU both are float32, whatever the weights are stored in. A model whose
    plan required flash attention runs with PyTorch's kernels where flash attention is not available: the
    requirement applies only to training. ``seg_state``: the hidden state from which a mask is computed.
    ``prompted_frames``: how many frames it prompts, None for all; SAM 2's memory propagates the masks to the
    others.
    """

    def __init__(
        self,
        model: Path,
        tokenizer: Path,
        *,
        footage: Callable[[Sample], Footage],
        max_new_tokens: int,
        seed: int,
        use_gpu: bool,
        seg_state: SegState = SegState.PREDICTING,
        prompted_frames: int | None = None,
    ) -> None:
        self.device = torch.device("cuda" if use_gpu else "cpu")
        self.max_new_tokens = max_new_tokens
        self.seg_state, self.prompted_frames = seg_state, prompted_frames
        # Of weights in float32 autocast would make new bfloat16 ones for every token: within inference_mode
        # it keeps none.
        dtype = torch.bfloat16 if use_gpu else torch.float32
        self.model = from_pretrained(model, dtype=dtype).to(self.device)
        # The attention that training required does not restrict where the model can answer.
        self.model.set_attention(self.device, dtype, required=False)
        self.codec = PromptCodec(load_tokenizer(tokenizer))
        self.preparer = Preparer(self.model.config, self.codec, footage=footage, seed=seed)
        self.processor = self.preparer.processor

    def predict(self, requests: Sequence[Request]) -> list[Prediction | Unreadable]:
        """One result per request, in order: they are prepared and answered at once."""
        return self.complete(self.preparer.prepare(requests))

    def complete(self, prepared: Prepared) -> list[Prediction | Unreadable]:
        """The results of prepared requests, in their order. Masks are computed here, frame by frame."""
        examples, results = prepared.examples, dict(prepared.results)
        for i, answer in zip(examples, self.answer(list(examples.values())), strict=True):
            sample, frames = prepared.requests[i].sample, None
            try:
                tracks: tuple[MaskTrack, ...] = ()
                if len(answer.segs):
                    frames = self.frames(self.preparer.footage(sample))
                    example = examples[i]
                    tracks = self.segment(frames, answer.segs, example.to_segment, example.mask_size)
                results[i] = prediction(sample, text=answer.text, masks=tracks)
            except UNREADABLE as error:
                results[i] = unreadable(sample, frames, error)
        return [results[i] for i in range(len(prepared.requests))]

    def frames(self, footage: Footage) -> Frames:
        """The frames of one video, in the sizes that this model takes."""
        return self.preparer.frames(footage)

    def answer(self, examples: Sequence[Example]) -> list[GeneratedAnswer]:
        """Greedy answers to prompts of ``Processor.inference``, of at most ``max_new_tokens`` each."""
        if not examples:
            return []
        with torch.inference_mode(), self._autocast():
            batch = collate(list(examples), pad_id=self.model.tokens.pad).to(self.device)
            made = self.model.generate(batch, self.max_new_tokens, seg_state=self.seg_state)
        return [
            GeneratedAnswer(
                text=self.codec.decode(ids := tokens.tolist()),
                segs=seg,
                ended=bool(ids) and ids[-1] in self.model.tokens.eos,
            )
            for tokens, seg in zip(made.tokens, made.seg_embeddings, strict=True)
        ]

    def segment(
        self,
        frames: Frames,
        seg_OD: Tensor,
        indices: Sequence[int],
        size: tuple[int, int],
        *,
        on_frames: Callable[[int], object] = lambda done: None,
    ) -> tuple[MaskTrack, ...]:
        """One track per [SEG] on the ascending frames ``indices``; masks of ``size`` = (height, width).

        A frame is decoded and encoded once for all objects. ``on_frames`` is called with the number of frames
        that are done. Raises VideoError, IndexError or UserError.
        """
        if not indices:
            return ()
        height, width = size
        counts: list[list[str]] = [[] for _ in range(len(seg_OD))]
        done = 0
        with torch.inference_mode(), self._autocast():
            for logits_OFHW in self._mask_logits(frames, seg_OD, indices, size):
                inside = (logits_OFHW > 0).cpu().numpy()
                for track, masks_FHW in zip(counts, inside, strict=True):
                    track += masks.encode_many(masks_FHW)
                on_frames(done := done + logits_OFHW.shape[1])
        return tuple(
            MaskTrack(height=height, width=width, frames=tuple(indices), counts=tuple(t)) for t in counts
        )

    def _mask_logits(
        self, frames: Frames, seg_OD: Tensor, indices: Sequence[int], size: tuple[int, int]
    ) -> Iterator[Tensor]:
        """Logits [O, F, H, W] of the frames ``indices``, a few at a time and in order."""
        if self.prompted_frames is None:
            with ahead(frames.each(View.SAM, indices), CHUNK_FRAMES) as pixels:
                for _ in range(0, len(indices), CHUNK_FRAMES):
                    part = self.processor.sam_pixels(list(islice(pixels, CHUNK_FRAMES))).to(self.device)
                    yield self.model.segmentation.decode_masks(part, seg_OD, size=size)
            return
        first = prompted_frames(len(indices), self.prompted_frames)
        others = [n for n in range(len(indices)) if n not in set(first)]
        asked = chain(*(frames.each(View.SAM, [indices[n] for n in part]) for part in (first, others)))
        with ahead(asked, CHUNK_FRAMES) as pixels:

            def next_frame(_: int) -> Tensor:
                return self.processor.sam_pixels([next(pixels)])[0].to(self.device)

            for logits_OSS in propagate(
                self.model.segmentation, next_frame, len(indices), seg_OD, prompts=self.prompted_frames
            ):
                yield to_size(logits_OSS[:, None], *size)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
