"""Ask a checkpoint about a video, in Python::

    from evaluation import load_checkpoint
    model = load_checkpoint("runs/demo/stage2/FINGERPRINT")
    answer = model.ask("clip.mp4", "Can you segment the red ball in this video?")

``answer.text``, ``answer.spans`` (seconds), ``answer.masks`` (COCO RLE), ``answer.save(folder)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from evaluation.predict import toy
from evaluation.predict.answer import Answer, AnswerSettings
from evaluation.predict.clip import Clip, open_clip, unreadable
from evaluation.predict.pointing import region_track
from evaluation.predict.question import Question, check_text, frames_to_segment, identify
from evaluation.predict.source import Source, find_source
from evaluation.predictor import Predictor
from evaluation.spans import read_spans
from pipeline.canonical import plain
from pipeline.commands.predict import MAX_NEW_TOKENS
from pipeline.errors import UserError
from pipeline.media.footage import Footage
from pipeline.media.pointing import Region
from pipeline.media.video import VideoError
from pipeline.plan.evaluation import SegState
from pipeline.records.sample import Sample
from training.model.prompt import RefusedSample


def load_checkpoint(
    place: str | Path,
    *,
    device: str = "auto",
    max_new_tokens: int = MAX_NEW_TOKENS,
    seg_state: SegState | str = SegState.PREDICTING,
    prompted_frames: int | None = None,
) -> Checkpoint:
    """A model that answers questions.

    ``place``: the artifact's folder of a stage or of init; or a folder with weights and their tokenizer in
    the published layout (the released model, an export) or this project's; both local or on S3; or such a
    model of the hub (``hf://org/name@revision``). ``device``: "cpu", "cuda", or "auto", a GPU where there is
    one. ``max_new_tokens``: where an answer is cut off. ``seg_state``: the hidden state from which a mask is
    computed. ``prompted_frames``: how many frames it prompts, SAM 2's memory carrying their masks to the
    others; None prompts all. Weights are read at the first question, after it has been checked.

    Raises UserError for a place without a finished checkpoint or model, and for a missing GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device {device!r}", "is not known.", "Choose auto, cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda", "is not available: torch finds no GPU.", "Choose cpu or auto.")
    if seg_state not in list(SegState):
        raise UserError(f"seg_state {seg_state!r}", "is not known.", f"Choose {' or '.join(SegState)}.")
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens {max_new_tokens}", "leaves no answer.", "Give 1 or more.")
    if prompted_frames is not None and prompted_frames < 1:
        raise UserError(f"prompted_frames {prompted_frames}", "leaves no mask.", "Give 1 or more, or None.")
    source = find_source(place)
    use_gpu = torch.cuda.is_available() if device == "auto" else device == "cuda"
    settings = AnswerSettings(
        checkpoint=source.uri,
        digest=source.digest,
        seg_state=SegState(seg_state),
        prompted_frames=prompted_frames,
        max_new_tokens=max_new_tokens,
        device="cuda" if use_gpu else "cpu",
    )
    return Checkpoint(source=source, settings=settings)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on this machine, and the settings of its answers."""

    source: Source
    settings: AnswerSettings

    def ask(
        self,
        video: str | Path,
        question: str,
        *,
        regions: Sequence[Region] = (),
        frames: int | str | None = None,
    ) -> Answer:
        """The model's answer: text, spans in seconds of the video, and a mask track for each [SEG].

        ``regions``: what the k-th ``<region>`` of the question points at, ``Box``, ``Point`` or ``MaskFile``.
        ``frames``: on how many evenly spread frames objects are segmented, or "all"; None: on every frame of
        a video of up to 300, on 300 of a longer one. Greedy: the same question gets the same answer.

        Raises UserError for a video that cannot be read, and for a question that does not fit its regions.
        """
        return self.answer(self.check(video, question, regions=regions, frames=frames))

    def check(
        self,
        video: str | Path | Clip,
        question: str,
        *,
        regions: Sequence[Region] = (),
        frames: int | str | None = None,
    ) -> Question:
        """A question, checked as far as that goes without the weights. Raises as ``ask`` does.

        ``video`` may be a clip that is open already: it is not probed again.
        """
        check_text(question, regions)
        clip = video if isinstance(video, Clip) else open_clip(video)
        tracks = tuple(region_track(region, clip.ref, self.source.config.vision.grid) for region in regions)
        chosen = frames_to_segment(clip.ref.num_frames, frames, tracks)
        identifying = {k: v for k, v in plain(self.settings).items() if k != "checkpoint"}
        return Question(
            text=question,
            clip=clip,
            regions=tuple(regions),
            tracks=tracks,
            frames=chosen,
            identity=identify(clip, question, tracks, chosen, identifying),
        )

    def answer(
        self,
        question: Question,
        on_frames: Callable[[int], object] = lambda done: None,
        on_decoded: Callable[[], object] = lambda: None,
    ) -> Answer:
        """The answer to a checked question. ``on_frames`` gets the number of frames segmented so far.

        ``on_decoded`` is called when the frames that the model is shown are decoded. An error that either of
        them raises ends the answer. Raises UserError for a video that turns out to be damaged.
        """
        sample = question.sample
        frames = self.predictor.frames(question.clip.footage)
        try:
            example = self.predictor.processor.inference(sample, frames)
            on_decoded()
            generated = self.predictor.answer([example])[0]
            size = (sample.video.height, sample.video.width)
            masks = (
                self.predictor.segment(frames, generated.segs, question.frames, size, on_frames=on_frames)
                if len(generated.segs)
                else ()
            )
        except RefusedSample as error:
            raise UserError(
                f'the question "{question.text}"', f"cannot be asked: {error}.", "Reword it."
            ) from error
        except (VideoError, IndexError) as error:
            raise unreadable(question.clip.uri, question.clip.path, error) from error
        read = read_spans(generated.text, sample)
        tokenizer = self.predictor.processor.codec.tokenizer
        unknown = toy.unknown_words(tokenizer, question.text)
        return Answer(
            question=question,
            settings=self.settings,
            text=generated.text,
            spans=read.spans,
            refusal=read.refusal,
            refusal_detail=read.detail,
            masks=masks,
            ended=generated.ended,
            toy=toy.note(unknown, len(tokenizer)) if unknown else "",
        )

    @cached_property
    def predictor(self) -> Predictor:
        """The loaded model. It has no dataset: a question brings its own video."""

        def no_dataset(sample: Sample) -> Footage:
            raise UserError(sample.key, "does not belong to a dataset.", "Ask about a video of its own.")

        return Predictor(
            self.source.model,
            self.source.tokenizer,
            footage=no_dataset,
            max_new_tokens=self.settings.max_new_tokens,
            seed=0,  # draws nothing at inference
            use_gpu=self.settings.device == "cuda",
            seg_state=self.settings.seg_state,
            prompted_frames=self.settings.prompted_frames,
        )
