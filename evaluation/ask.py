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

from evaluation.asking.answer import Answer, MadeBy
from evaluation.asking.clip import open_clip, unreadable
from evaluation.asking.pointing import region_track
from evaluation.asking.question import Asked, check_text, frames_to_segment, identify
from evaluation.predictor import Predictor
from evaluation.spans import read_spans
from pipeline import artifact
from pipeline.artifact import Artifact, without_credentials
from pipeline.checkpoint import MODEL
from pipeline.config.evaluation import SegState
from pipeline.errors import UserError
from pipeline.fingerprint import plain
from pipeline.footage import Footage
from pipeline.plan import Kind
from pipeline.predict import MAX_NEW_TOKENS
from pipeline.regions import Region
from pipeline.schema.sample import Sample
from pipeline.storage import Location
from pipeline.video import VideoError
from training.model.prompt import RefusedSample
from training.model.weights import read_config


def load_checkpoint(
    place: str | Path,
    *,
    device: str = "auto",
    max_new_tokens: int = MAX_NEW_TOKENS,
    seg_state: SegState | str = SegState.PREDICTING,
    prompted_frames: int | None = None,
) -> Checkpoint:
    """A checkpoint that answers questions: the artifact's folder of a stage or of init, local or on S3.

    ``device``: "cpu", "cuda", or "auto", a GPU where there is one. ``max_new_tokens``: where an answer is cut
    off. ``seg_state``: the hidden state that a mask is made of. ``prompted_frames``: how many frames it
    prompts, SAM 2's memory carrying their masks to the others; None prompts all. Weights are read at the
    first question, when it is clear that it can be asked.

    Raises UserError for a folder that is no finished checkpoint, and for a GPU that is not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device {device!r}", "is not known.", "Choose auto, cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda", "is not there: torch finds no GPU.", "Choose cpu or auto.")
    if seg_state not in list(SegState):
        raise UserError(f"seg_state {seg_state!r}", "is not known.", f"Choose {' or '.join(SegState)}.")
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens {max_new_tokens}", "leaves no answer.", "Give 1 or more.")
    if prompted_frames is not None and prompted_frames < 1:
        raise UserError(f"prompted_frames {prompted_frames}", "leaves no mask.", "Give 1 or more, or None.")
    found = _find(Location.parse(place))
    folder = found.location.fetch_dir()
    config, _ = read_config(folder / MODEL)
    use_gpu = torch.cuda.is_available() if device == "auto" else device == "cuda"
    made_by = MadeBy(
        checkpoint=without_credentials(found.location.uri),
        digest=found.record.digest,
        seg_state=SegState(seg_state),
        prompted_frames=prompted_frames,
        max_new_tokens=max_new_tokens,
        device="cuda" if use_gpu else "cpu",
    )
    return Checkpoint(folder=folder, made_by=made_by, grid=config.vision.grid)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on this machine. ``grid``: patches per side of its view of a frame."""

    folder: Path
    made_by: MadeBy
    grid: int

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
        video: str | Path,
        question: str,
        *,
        regions: Sequence[Region] = (),
        frames: int | str | None = None,
    ) -> Asked:
        """A question, checked as far as that goes without the weights. Raises as ``ask`` does."""
        check_text(question, regions)
        clip = open_clip(video)
        tracks = tuple(region_track(region, clip.ref, self.grid) for region in regions)
        chosen = frames_to_segment(clip.ref.num_frames, frames, tracks)
        settings = {k: v for k, v in plain(self.made_by).items() if k != "checkpoint"}
        return Asked(
            text=question,
            clip=clip,
            regions=tuple(regions),
            tracks=tracks,
            frames=chosen,
            identity=identify(clip, question, tracks, chosen, settings),
        )

    def answer(self, asked: Asked, told: Callable[[int], object] = lambda done: None) -> Answer:
        """The answer to a checked question. ``told`` hears on how many frames masks are made so far.

        Raises UserError for a video that turns out to be damaged.
        """
        sample = asked.sample
        frames = self.predictor.frames(asked.clip.footage)
        try:
            example = self.predictor.processor.inference(sample, frames)
            said = self.predictor.answer([example])[0]
            size = (sample.video.height, sample.video.width)
            masks = (
                self.predictor.segment(frames, said.segs, asked.frames, size, told=told)
                if len(said.segs)
                else ()
            )
        except RefusedSample as error:
            raise UserError(
                f'the question "{asked.text}"', f"cannot be asked: {error}.", "Reword it."
            ) from error
        except (VideoError, IndexError) as error:
            raise unreadable(asked.clip.uri, asked.clip.path, error) from error
        read = read_spans(said.text, sample)
        return Answer(
            asked=asked,
            made_by=self.made_by,
            text=said.text,
            spans=read.spans,
            refusal=read.refusal,
            refusal_detail=read.detail,
            masks=masks,
            ended=said.ended,
        )

    @cached_property
    def predictor(self) -> Predictor:
        """The loaded model. It has no dataset: a question brings its own video."""

        def no_dataset(sample: Sample) -> Footage:
            raise UserError(sample.key, "is of no dataset.", "Ask with a video of its own.")

        return Predictor(
            self.folder,
            digest=self.made_by.digest,
            footage=no_dataset,
            max_new_tokens=self.made_by.max_new_tokens,
            seed=0,  # draws nothing at inference
            use_gpu=self.made_by.device == "cuda",
            seg_state=self.made_by.seg_state,
            prompted_frames=self.made_by.prompted_frames,
        )


def _find(place: Location) -> Artifact:
    """The finished checkpoint artifact in a folder. Raises UserError if there is none."""
    found = artifact.load(place)
    if found is None:
        below = [f for f in place.list() if f.is_dir() and (f / artifact.RECORD_NAME).exists()]
        if below:
            raise UserError(
                place.uri,
                f"is no checkpoint itself, but {' and '.join(f.name for f in below[:3])} in it may be.",
                f"Give {below[0].uri}.",
            )
        raise UserError(
            place.uri,
            f"is no finished checkpoint (it holds no {artifact.RECORD_NAME}).",
            "Give the folder of a stage's artifact, or of init; `ufvideo status PLAN` says what is there.",
        )
    if found.record.kind not in (Kind.INIT, Kind.STAGE):
        raise UserError(
            place.uri,
            f"is an artifact of kind {found.record.kind}, which holds no model.",
            "Give the folder of a training stage, or of init.",
        )
    return found
