"""A checkpoint that answers: samples in, predictions out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluation.prediction import Prediction
from evaluation.spans import AS_WRITTEN, SpanRules, SpansRead, read_spans
from pipeline.checkpoint import MODEL, TOKENIZER
from pipeline.errors import UserError
from pipeline.footage import Footage
from pipeline.schema import masks as codec
from pipeline.schema.sample import MaskTrack, Sample, Task, Turn
from training.model.collate import collate
from training.model.processor import Example, Processor, View, decode_views
from training.model.prompt import PromptCodec
from training.model.tokenizer import load_tokenizer
from training.model.weights import load_model

_MASK_FRAMES = 8  # frames whose masks are decoded at a time: at full size they are large


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A sample, what it is asked, and how times in the answer are read.

    The predictor reads no answer, target mask or span of the sample.
    """

    sample: Sample
    turns: tuple[Turn, ...]
    rules: SpanRules = AS_WRITTEN


@dataclass(frozen=True, slots=True)
class Frames:
    """A FrameProvider for one video. It decodes on demand and keeps nothing: each is looked at once."""

    footage: Footage
    sides: Mapping[View, int]

    def get(self, sample: Sample, wanted: Mapping[View, Sequence[int]]) -> dict[View, dict[int, np.ndarray]]:
        """Resized frames by view and index. Raises VideoError, IndexError or UserError."""
        return decode_views(self.footage, wanted, self.sides)


class Predictor:
    """One loaded checkpoint on one device.

    ``footage`` gives the frames of a sample's video. On a GPU the arithmetic is bfloat16 under autocast,
    as in training; on a CPU it is float32, whatever the checkpoint's weights are stored in.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        digest: str,
        footage: Callable[[Sample], Footage],
        max_new_tokens: int,
        seed: int,
        use_gpu: bool,
    ) -> None:
        self.device = torch.device("cuda" if use_gpu else "cpu")
        self.digest, self.max_new_tokens = digest, max_new_tokens
        self.model = load_model(checkpoint / MODEL).eval().to(self.device)
        if not use_gpu:
            self.model.float()
        self.codec = PromptCodec(load_tokenizer(checkpoint / TOKENIZER))
        self.processor = Processor(self.model.config, self.codec, seed=seed)
        self._footage = footage
        self._sides = {view: self.processor.side(view) for view in View}

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """One prediction per request, in order. A sample that cannot be read gets one with its failure.

        What is no fault of the sample (a missing file, a store that does not answer) is raised: stored as an
        answer, it would make the score depend on the machine that computed it.
        """
        begun = time.monotonic()
        frames: dict[int, Frames] = {}
        examples: dict[int, Example] = {}
        failures: dict[int, str] = {}
        for i, request in enumerate(requests):
            try:
                frames[i] = Frames(self._footage(request.sample), self._sides)
                examples[i] = self.processor.inference(request.sample, frames[i], turns=request.turns)
            except UserError:
                raise
            except (ValueError, IndexError) as error:
                failures[i] = _reason(request.sample, frames[i], error)
        texts: dict[int, str] = {}
        segs: dict[int, Tensor] = {}
        if examples:
            with torch.inference_mode(), self._arithmetic():
                batch = collate(list(examples.values()), pad_id=self.model.tokens.pad).to(self.device)
                made = self.model.generate(batch, self.max_new_tokens)
            for i, tokens, seg in zip(examples, made.tokens, made.seg_embeddings, strict=True):
                texts[i], segs[i] = self.codec.decode(tokens.tolist()), seg
        predictions = []
        for i, request in enumerate(requests):
            tracks: tuple[MaskTrack, ...] = ()
            if i in segs and len(segs[i]):
                try:
                    tracks = self._masks(request.sample, frames[i], segs[i])
                except UserError:
                    raise
                except (ValueError, IndexError) as error:
                    failures[i] = _reason(request.sample, frames[i], error)
            read = read_spans(texts[i], request.sample, request.rules) if i in texts else SpansRead()
            predictions.append(
                Prediction(
                    key=request.sample.key,
                    source=request.sample.dataset,
                    checkpoint=self.digest,
                    text=texts.get(i, ""),
                    spans=read.spans,
                    refusal=read.refusal,
                    refusal_detail=read.detail,
                    clamped=read.clamped,
                    masks=tracks,
                    failure=failures.get(i),
                )
            )
        share = (time.monotonic() - begun) / max(len(requests), 1)
        return [replace(p, seconds=share) for p in predictions]

    def _masks(self, sample: Sample, frames: Frames, seg_OD: Tensor) -> tuple[MaskTrack, ...]:
        """One track per [SEG], at the video's size, on every frame that is to be scored."""
        indices, height, width = frames_to_segment(sample)
        if not indices:
            return ()
        counts: list[list[str]] = [[] for _ in range(len(seg_OD))]
        pixels = frames.get(sample, {View.SAM: indices})[View.SAM]
        for at in range(0, len(indices), _MASK_FRAMES):
            part = self.processor.sam_pixels([pixels[i] for i in indices[at : at + _MASK_FRAMES]]).to(
                self.device
            )
            with torch.inference_mode(), self._arithmetic():
                logits_OFHW = self.model.decode_masks(part, seg_OD, size=(height, width))
            inside = (logits_OFHW > 0).cpu().numpy()
            for track, masks_FHW in zip(counts, inside, strict=True):
                track += codec.encode_many(masks_FHW)
        return tuple(MaskTrack(height=height, width=width, frames=indices, counts=tuple(t)) for t in counts)

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def frames_to_segment(sample: Sample) -> tuple[tuple[int, ...], int, int]:
    """Frame indices, height and width of the masks to be made.

    The frames are those that the sample's targets list: where its benchmark will look, not where the object
    is. A segmentation sample whose truth is hidden is segmented on every frame; other samples on none.
    """
    if sample.targets:
        first = sample.targets[0]
        return tuple(sorted({f for t in sample.targets for f in t.frames})), first.height, first.width
    frames = range(sample.video.num_frames) if sample.task is Task.SEGMENT else ()
    return tuple(frames), sample.video.height, sample.video.width


def _reason(sample: Sample, frames: Frames, error: Exception) -> str:
    """Why a sample could not be used, without paths of this machine: the same reason everywhere."""
    text = " ".join(str(error).replace(frames.footage.place, sample.video.path).split())
    return f"not readable: {text[:300]}"
