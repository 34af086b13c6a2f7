"""A prediction of other code as one of this project's, for the sample that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from evaluation.prediction import Prediction
from evaluation.score.given import Given, LoadMask
from evaluation.score.mask_trees import DamagedMaskError
from evaluation.spans import SpanRules
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample, TimeSpan
from pipeline.times.parser import Failure, Form, parse

NOTHING = "no prediction"
NO_LENGTH = "the answer counts parts of a video whose length the truth does not say"
_LONG_S = 1e6  # stands for an unknown length: no answer in seconds is beyond it


def prediction_of(sample: Sample, given: Given | None) -> Prediction:
    """The prediction to be scored; one with a failure where there is none or it cannot be used."""
    if given is None:
        return Prediction(key=sample.key, source=sample.dataset, failure=NOTHING)
    if given.failure is not None:
        return Prediction(key=sample.key, source=sample.dataset, failure=given.failure)
    text = given.text or ""
    if given.choice is not None:
        text = f"({chr(ord('A') + given.choice)})" if 0 <= given.choice < 26 else str(given.choice)
    tracks, problem = _tracks(sample, given)
    scale = (sample.video.duration_s or 1.0) if given.fractions else 1.0
    windows = given.windows or ((given.span,) if given.span is not None else ())
    return Prediction(
        key=sample.key,
        source=sample.dataset,
        text=text,
        spans=tuple(
            TimeSpan(start_s=start * scale, end_s=end * scale, start_bin=0, end_bin=0)
            for start, end in windows
        ),
        confidences=given.confidences,
        masks=tracks,
        failure=problem,
    )


def with_times(prediction: Prediction, sample: Sample, rules: SpanRules) -> Prediction:
    """The prediction with the times in its text. Of a video of unknown length only seconds can be read."""
    if sample.video.duration_s or prediction.failure is not None:
        return prediction.with_times(sample, rules)
    read = parse(prediction.text, duration_s=_LONG_S, bare=rules.bare, outside=rules.outside)
    if isinstance(read, Failure):
        return replace(prediction, refusal=str(read.reason), refusal_detail=read.detail)
    first = next((span for span in read.spans if not span.instant), None)
    if first is None or first.form not in (Form.SECONDS, Form.CLOCK) or first.end_s >= _LONG_S:
        return replace(prediction, refusal=NO_LENGTH)
    span = TimeSpan(start_s=first.start_s, end_s=first.end_s, start_bin=0, end_bin=0)
    return replace(prediction, spans=(span,))


def _tracks(sample: Sample, given: Given) -> tuple[tuple[MaskTrack, ...], str | None]:
    """Masks on the frames of the truth, and why they cannot be used as a whole."""
    if given.tracks:
        return tuple(
            MaskTrack(**{**t, "frames": tuple(t["frames"]), "counts": tuple(t["counts"])})
            for t in given.tracks
        ), None
    if given.rle is not None:
        return _of_rle(sample, given)
    if given.masks is not None:
        return _of_images(sample, given.masks)
    return (), None


def _of_rle(sample: Sample, given: Given) -> tuple[tuple[MaskTrack, ...], str | None]:
    forms = given.rle or ()
    frames = max((f for t in sample.targets for f in t.frames), default=-1) + 1
    expected = max(len(sample.video.frames), frames)
    if len(forms) != expected:
        return (), f"{len(forms)} masks for {expected} frames"
    sizes: set[tuple[int, int]] = set()
    for size in (form["size"] for form in forms if form is not None):
        if not (isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(n, int) for n in size)):
            return (), f"a mask is not COCO RLE: its size is {size!r}"
        sizes.add((size[0], size[1]))
    if len(sizes) > 1:
        return (), f"masks of {len(sizes)} sizes"
    true_size = next(((t.height, t.width) for t in sample.targets if t.height), (1, 1))
    height, width = sizes.pop() if sizes else true_size  # nulls alone: the object is never there
    try:
        counts = tuple(
            masks.empty(height, width) if form is None else masks.from_source(form, height, width)
            for form in forms
        )
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        return (), f"a mask is not COCO RLE: {error}"
    return (MaskTrack(height=height, width=width, frames=tuple(range(len(counts))), counts=counts),), None


def _of_images(sample: Sample, images: Mapping[str, LoadMask]) -> tuple[tuple[MaskTrack, ...], str | None]:
    names = [PurePosixPath(name).stem for name in sample.video.frames]
    wanted = sorted({f for t in sample.targets for f in t.frames}) or range(len(names))
    made: list[tuple[int, str]] = []
    size: tuple[int, int] | None = None
    for frame in wanted:
        name = names[frame] if frame < len(names) else f"{frame:05d}"
        if name not in images:
            continue
        try:
            mask = images[name]()
        except DamagedMaskError as error:
            return (), f"{name}: {error.problem}"
        if size is not None and mask.shape != size:
            return (), f"masks of {size[0]}x{size[1]} and of {mask.shape[0]}x{mask.shape[1]}"
        size = (mask.shape[0], mask.shape[1])
        made.append((frame, masks.encode(mask)))
    if size is None:
        asked = names[wanted[0]] if wanted and wanted[0] < len(names) else "00000"
        return (), f"no mask on any frame: there is {min(images)}, but not {asked}"
    return (
        MaskTrack(
            height=size[0], width=size[1], frames=tuple(f for f, _ in made), counts=tuple(c for _, c in made)
        ),
    ), None
