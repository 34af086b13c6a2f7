"""Ref-DAVIS17: masks of what an expression names, four expressions for every object.

Two protocols are in use, and differ by some points. The authors': the expressions of one annotator are a run,
whose masks are merged and scored by the unsupervised protocol of DAVIS; the mean of four runs. Papers of
video language models: each expression alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_MASK
from evaluation.benchmarks.groups import Groups, of_video
from evaluation.benchmarks.judging import judge_masks, score_masks
from evaluation.benchmarks.mask_metrics import pooled_frames
from evaluation.benchmarks.mevis import prompt
from evaluation.metrics.aggregate import STANDARD, Metric, Score
from evaluation.prediction import Prediction
from pipeline.records.sample import MaskTrack, Sample, Task

if TYPE_CHECKING:
    from evaluation.metrics.davis_unsupervised import Frame

RUNS: Final = 4  # the expression of an object has the number 4 * object + run
PER_EXPRESSION: Final = "per-expression"
VOID_KEPT: Final = "void as background"
OF_RUN, OF_RUN_VOID_KEPT = "run", "run, void kept"
OVERLAP: Final = "overlap"
_NOT_ALL = "not every expression of the annotator was asked"


def run_of(key: str) -> int | None:
    """The run, 0 to 3, of an expression ``<source>/<video>/<number>``; None for a name that is no number."""
    number = key.rpartition("/")[2]
    return int(number) % RUNS if number.isdecimal() else None


def score_video(samples: Sequence[Sample], predictions: Sequence[Prediction | None]) -> list[Score]:
    """Every expression of a video alone, and the runs of its annotators.

    A run's score of an object is that of the expression which names it. Neither mask is judged on the void of
    the samples; if a source does not keep it, the measures have another name.
    """
    void = next((sample.void for sample in samples if sample.void is not None), None)
    suffix = OF_RUN_VOID_KEPT if void is None else OF_RUN
    names = (f"J {suffix}", f"F {suffix}", f"J&F {suffix}")
    scores: dict[str, Score] = {}
    for sample, prediction in zip(samples, predictions, strict=True):
        if prediction is not None:
            scores[sample.key] = judge_masks(sample, prediction).score(sample)
    for run in range(RUNS):
        own = [(s, p) for s, p in zip(samples, predictions, strict=True) if run_of(s.key) == run]
        own.sort(key=lambda pair: int(pair[0].key.rpartition("/")[2]))
        asked = [(s, p) for s, p in own if p is not None]
        if len(asked) < len(own):
            for sample, _ in asked:
                scores[sample.key] = replace(scores[sample.key], missing=dict.fromkeys(names, _NOT_ALL))
            continue
        for (sample, _), values in zip(asked, _run(asked, void), strict=True):
            one, failure = scores[sample.key], scores[sample.key].failure
            run_values = dict(zip(names, values[:3], strict=True))
            scores[sample.key] = replace(
                one,
                values={**one.values, **run_values, OVERLAP: values[3]},
                failures={**one.failures, **(dict.fromkeys(run_values, failure) if failure else {})},
            )
    return [scores[s.key] for s, p in zip(samples, predictions, strict=True) if p is not None]


def _run(
    own: Sequence[tuple[Sample, Prediction]], void: MaskTrack | None
) -> list[tuple[float, float, float, float]]:
    """J, F, J&F of every object of a run, and the part of its mask that objects of lower numbers took."""
    from evaluation.metrics.davis_unsupervised import match

    if not own:
        return []
    made, lost = [0] * len(own), [0] * len(own)
    j, f = match(_frames(own, void, made, lost))
    return [
        (float(j[n].mean()), float(f[n].mean()), (float(j[n].mean()) + float(f[n].mean())) / 2,
         lost[n] / made[n] if made[n] else 0.0)
        for n in range(len(own))
    ]  # fmt: skip


def _frames(
    own: Sequence[tuple[Sample, Prediction]], void: MaskTrack | None, made: list[int], lost: list[int]
) -> Iterator[Frame]:
    """The frames of a run, decoded one by one. Adds up the pixels of each mask, and those that it lost."""
    from evaluation.metrics.davis_unsupervised import Frame, without_overlap
    from pipeline.records.masks import decode, empty

    truths = [sample.targets[0] for sample, _ in own]
    size = (truths[0].height, truths[0].width)
    answers = [_usable(prediction, size) for _, prediction in own]
    true = [dict(zip(t.frames, t.counts, strict=True)) for t in truths]
    voids = dict(zip(void.frames, void.counts, strict=True)) if void else {}
    nothing = empty(*size)
    for frame in sorted(set().union(*true)):
        claimed = [decode(answer.get(frame, nothing), *size) for answer in answers]
        proposals, taken = without_overlap(claimed)
        for n, mask in enumerate(claimed):
            made[n] += int(mask.sum())
            lost[n] += taken[n]
        yield Frame(
            proposals,
            [decode(of.get(frame, nothing), *size) for of in true],
            decode(voids[frame], *size) if frame in voids else None,
        )


def _usable(prediction: Prediction, size: tuple[int, int]) -> Mapping[int, str]:
    """The first mask by frame; nothing of an answer that failed or has another size."""
    if prediction.failure is not None or not prediction.masks:
        return {}
    track = prediction.masks[0]
    if (track.height, track.width) != size:
        return {}
    return dict(zip(track.frames, track.counts, strict=True))


_RUN = "each annotator's masks merged (the lower object where two overlap), matched with the objects"
_MEAN = "all frames; mean over objects and four annotators"

REF_DAVIS = Benchmark(
    name="ref_davis",
    title="Ref-DAVIS17",
    about="Ref-DAVIS17: masks of what an expression names, four for each object",
    accepts=(Task.SEGMENT,),
    baseline=CONSTANT_MASK,
    formats=("ref_davis",),
    prompt=prompt,
    score=score_masks,
    groups=Groups(of=of_video, score=score_video),
    metrics=(
        *(
            Metric(
                name=name,
                measure=name,
                protocol=PER_EXPRESSION,
                rule="mean over all frames of an expression, then over expressions",
            )
            for name in ("J&F", "J", "F")
        ),
        *(
            Metric(
                name=f"{name}, annotators",
                measure=f"{name} {OF_RUN}",
                protocol=STANDARD,
                rule=f"{_RUN}; void taken out; {_MEAN}",
            )
            for name in ("J&F", "J", "F")
        ),
        *(
            Metric(
                name=f"{name}, annotators, void kept",
                measure=f"{name} {OF_RUN_VOID_KEPT}",
                protocol=VOID_KEPT,
                main=name == "J&F",
                rule=f"{_RUN}; void is background; {_MEAN}",
            )
            for name in ("J&F", "J", "F")
        ),
        Metric(
            name="overlap",
            measure=OVERLAP,
            main=False,
            protocol=STANDARD,
            rule="part of a mask that another object of a lower number took; mean over expressions",
        ),
        pooled_frames(),
    ),
    advice={
        "void": "its annotators' runs are scored with void as background; the authors' own protocol "
        "(`standard`) needs void: true, in a source of the format ref_davis"
    },
    footnote="Ref-DAVIS17: J&F is of each expression alone, as papers of video language models give it. "
    "Annotators: the unsupervised protocol of DAVIS. Void kept: void pixels count as background, because the "
    "source does not keep them (void: true).",
)
