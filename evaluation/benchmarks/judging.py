"""What the families share: a prediction against a sample, as measures in 0-1.

A failure never leaves a sample out. It gets the score of a useless answer: no right option, an IoU of 0, and
empty masks, which are right only on frames where the object is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evaluation.metrics import choice, choice_published, temporal
from evaluation.metrics.aggregate import Score
from evaluation.prediction import Prediction
from pipeline.errors import UserError
from pipeline.records.sample import MaskTrack, Sample, TimeSpan

if TYPE_CHECKING:
    from evaluation.metrics.masks import JF

OF_ALL_FRAMES, OF_SHOWN_FRAMES = "", " shown"
THRESHOLDS, CUT = (0.3, 0.5, 0.7), " cut"
_ABOVE_AND_FROM = tuple((t, f"R@{t}", f"R@{t} or equal") for t in THRESHOLDS)
_ABOVE_CUT = tuple((t, f"R@{t}", f"R@{t}{CUT}") for t in THRESHOLDS)


_NOTHING: Final[Mapping[str, Any]] = {}


class Judgement(NamedTuple):
    """Measures of one answer, and failures by measure. The other fields are those of ``Score``."""

    values: dict[str, float]
    weights: Mapping[str, float]
    failures: Mapping[str, str]
    refusal: str = ""
    clamped: bool = False
    read_by: str = ""
    truth: Mapping[str, float] = _NOTHING

    def __or__(self, other: Judgement) -> Judgement:
        """Both judgements of one answer; the first failure is that of the first."""
        return Judgement(
            values={**self.values, **other.values},
            weights={**self.weights, **other.weights},
            failures={**self.failures, **other.failures},
            refusal=self.refusal or other.refusal,
            clamped=self.clamped or other.clamped,
            read_by=self.read_by or other.read_by,
            truth={**self.truth, **other.truth},
        )

    def score(self, sample: Sample) -> Score:
        """The score of this sample."""
        return Score(
            key=sample.key,
            category=sample.category,
            video=sample.video.sha256,
            values=self.values,
            weights=self.weights,
            failures=self.failures,
            refusal=self.refusal,
            clamped=self.clamped,
            read_by=self.read_by,
            truth=self.truth,
            missing=_NOTHING,
        )


def judge_choice(sample: Sample, prediction: Prediction, published: int | None) -> Judgement:
    """Accuracy by this project's rule, by MVBench's first word, and by the family's published rule."""
    if sample.answer_index < 0:
        raise UserError(
            sample.key,
            "has no options, so no choice can be scored.",
            "Choose a family that suits its source.",
        )
    chosen = choice.Chosen() if prediction.failure else choice.strict(prediction.text, sample.choices)
    values = {
        "accuracy": float(chosen.index == sample.answer_index),
        "accuracy published": float(not prediction.failure and published == sample.answer_index),
        "accuracy first word": float(
            not prediction.failure and choice_published.first_token(prediction.text, sample.answer_index)
        ),
    }
    if prediction.failure:
        failures: Mapping[str, str] = dict.fromkeys(values, prediction.failure)
    else:  # the published rules always find an option
        failures = {"accuracy": str(chosen.refusal)} if chosen.refusal else _NOTHING
    return Judgement(
        values=values,
        weights=_NOTHING,
        failures=failures,
        read_by=str(chosen.rule or ""),
        truth={"options": float(len(sample.choices))},
    )


def judge_span(sample: Sample, prediction: Prediction) -> Judgement:
    """tIoU of the first span in the answer, and whether it is above 0.3, 0.5 and 0.7 (as published).

    The truth is used as written, even if it ends after the video. Measures that end in "cut" take
    the truth cut at the ends of the video; a video whose length is not known has none.
    """
    if len(sample.spans) != 1:
        raise UserError(
            sample.key,
            f"is scored against one true span and has {len(sample.spans)}.",
            "Leave this benchmark out of the plan, or check the source's format.",
        )
    spans = () if prediction.failure else prediction.spans
    first, values = spans[0] if spans else None, dict[str, float]()
    iou = temporal.span_iou(first, sample.spans[0])
    values["tIoU"] = iou
    for threshold, above, from_ in _ABOVE_AND_FROM:
        values[above] = temporal.passes(iou, threshold)
        values[from_] = temporal.passes(iou, threshold, strict=False)
    cut = _cut(sample)
    if cut is not None:
        same = cut is sample.spans[0]
        iou = iou if same else temporal.span_iou(first, cut)
        values[f"tIoU{CUT}"] = iou
        for threshold, above, above_cut in _ABOVE_CUT:
            values[above_cut] = values[above] if same else temporal.passes(iou, threshold)
    refusal = "" if prediction.failure else prediction.refusal
    failure = prediction.failure or (f"no span read: {refusal}" if refusal else temporal.span_failure(spans))
    return Judgement(
        values=values,
        weights=_NOTHING,
        failures=dict.fromkeys(values, failure) if failure else _NOTHING,
        refusal=refusal,
        clamped=bool(spans) and prediction.clamped,
        truth=_relative(sample),
    )


def _cut(sample: Sample) -> TimeSpan | None:
    """The true span within its video; None where the video's length is not known."""
    span, length_s = sample.spans[0], sample.video.duration_s
    if length_s <= 0:
        return None
    if 0.0 <= span.start_s <= length_s and span.end_s <= length_s:
        return span
    return replace(span, start_s=min(max(span.start_s, 0.0), length_s), end_s=min(span.end_s, length_s))


def part_shown(sample: Sample) -> tuple[float, float]:
    """Where in the video begins what was shown, and how long it lasts; 0 s where that is not known."""
    if sample.clip is None:
        return 0.0, sample.video.duration_s
    return sample.clip.start_s, sample.clip.end_s - sample.clip.start_s


def _relative(sample: Sample) -> dict[str, float]:
    """The true span as parts of what was shown; nothing where its length is not known."""
    start_s, length_s = part_shown(sample)
    if length_s <= 0:
        return {}
    span = sample.spans[0]
    return {"start": (span.start_s - start_s) / length_s, "end": (span.end_s - start_s) / length_s}


def judge_masks(sample: Sample, prediction: Prediction) -> Judgement:
    """J, F and J&F of the k-th predicted mask against the k-th target, over every (target, frame) pair.

    "J" and its like: mean over all annotated frames, empty ones too, then one number per sample (the
    benchmarks' rule). "J shown": frames where the target shows, weighted by their number, so that a mean by
    weight pools the frames of all samples (UFVideo's rule).
    """
    if not sample.targets:
        raise UserError(
            sample.key,
            "its masks cannot be scored: the source has no truth.",
            "Leave this benchmark out of the plan.",
        )
    predicted = () if prediction.failure else prediction.masks
    failure = prediction.failure
    if failure is None and len(predicted) != len(sample.targets):
        wanted = f"{len(sample.targets)} target{'s' if len(sample.targets) > 1 else ''}"
        failure = f"{len(predicted)} masks for {wanted}" if predicted else "no [SEG] in the answer"
    constant = _constant_masks(sample.targets)
    every: list[JF] = []
    shown: list[JF] = []
    for truth, track in zip_longest(sample.targets, predicted[: len(sample.targets)]):
        frames, problem = _frames(truth, track)
        failure = failure or problem
        every += [jf for jf, _ in frames]
        shown += [jf for jf, is_shown in frames if is_shown]
    values, weights = _means(every, OF_ALL_FRAMES)
    values_shown, weights_shown = _means(shown, OF_SHOWN_FRAMES)
    weights |= dict.fromkeys(weights_shown, float(len(shown)))
    values |= values_shown
    return Judgement(
        values=values,
        weights=weights,
        failures=dict.fromkeys(values, failure) if failure else _NOTHING,
        truth=constant,
    )


def score_masks(sample: Sample, prediction: Prediction) -> Score:
    """The score of a family that judges masks alone."""
    return judge_masks(sample, prediction).score(sample)


def _constant_masks(targets: Sequence[MaskTrack]) -> dict[str, float]:
    """J and F of no mask at all, and of a mask of the whole frame: neither has a boundary."""
    from pipeline.records.masks import area

    shares = [area(c, t.height, t.width) / (t.height * t.width) for t in targets for c in t.counts]
    if not shares:
        return {}
    empty, flat = (sum(share in kinds for share in shares) / len(shares) for kinds in ((0,), (0, 1)))
    return {"empty J": empty, "empty F": flat, "full J": sum(shares) / len(shares), "full F": flat}


def _frames(truth: MaskTrack, track: MaskTrack | None) -> tuple[list[tuple[JF, bool]], str | None]:
    """J and F on every annotated frame, each with whether the target is visible there; and what was wrong."""
    from evaluation.metrics.masks import j_and_f  # NumPy and pycocotools: for scoring, not for plans
    from pipeline.records.masks import decode, empty

    height, width = truth.height, truth.width
    problem = None
    if track is not None and (track.height, track.width) != (height, width):
        problem = f"masks of {track.height}x{track.width} for frames of {height}x{width}"
        track = None
    made = dict(zip(track.frames, track.counts, strict=True)) if track else {}
    missing = [f for f in truth.frames if f not in made]
    if track is not None and missing:
        problem = f"no mask on {len(missing)} of {len(truth.frames)} frames"
    nothing = empty(height, width)
    scored = []
    for frame, counts in zip(
        truth.frames, truth.counts, strict=True
    ):  # one at a time: full-size masks are large
        true = decode(counts, height, width)
        ours = decode(made.get(frame, nothing), height, width)
        scored.append((j_and_f(ours, true), bool(true.any())))
    return scored, problem


def _means(frames: list[JF], suffix: str) -> tuple[dict[str, float], dict[str, float]]:
    if not frames:
        return {}, {}
    j = sum(jf.j for jf in frames) / len(frames)
    f = sum(jf.f for jf in frames) / len(frames)
    values = {f"J{suffix}": j, f"F{suffix}": f, f"J&F{suffix}": (j + f) / 2}
    return values, dict.fromkeys(values, 1.0)
