"""ReVOS: masks of what an expression names or implies (https://github.com/cilinyan/ReVOS-api).

Expressions refer to objects, ask for them by reasoning, or fit none (hallucination). The authors' overall
number is the mean of the means of the first two kinds; none of their overall numbers includes the third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_MASK_BY_CATEGORY
from evaluation.benchmarks.groups import Groups, of_video
from evaluation.benchmarks.judging import Judgement, judge_masks
from evaluation.benchmarks.mask_metrics import pooled_frames
from evaluation.benchmarks.mevis import prompt
from evaluation.metrics.aggregate import Metric, Over, Score
from evaluation.metrics.robustness import accuracy, robustness
from evaluation.prediction import Prediction
from pipeline.records.sample import MaskTrack, Sample, Task

REFERRING, REASONING, HALLUCINATION = "referring", "reasoning", "hallucination"
ROUNDED: Final = "rounded"  # VISA's eval_revos.py, which rounds each expression to 0.01 percent first
MEASURES: Final = ("J&F", "J", "F", "R", "A")
Foreground = Mapping[int, int]  # pixels of all objects, by frame


def score(sample: Sample, prediction: Prediction) -> Score:
    """J, F and A of one expression; R needs the other expressions of its video."""
    return _judge(sample, prediction, None).score(sample)


def score_video(samples: Sequence[Sample], predictions: Sequence[Prediction | None]) -> list[Score]:
    """All measures of a video's expressions. The foreground is what any of them names, as VISA defines it."""
    everything = foreground([track for sample in samples for track in sample.targets])
    return [
        _judge(sample, prediction, everything).score(sample)
        for sample, prediction in zip(samples, predictions, strict=True)
        if prediction is not None
    ]


def foreground(tracks: Sequence[MaskTrack]) -> dict[int, int]:
    """Pixels of the union of tracks, by frame. Raises ValueError for objects of several sizes in a frame."""
    from pipeline.records.masks import area, union

    named: dict[int, dict[tuple[int, int], set[str]]] = {}
    for track in tracks:
        size = (track.height, track.width)
        for frame, counts in zip(track.frames, track.counts, strict=True):
            if area(counts, *size):  # tracks without any mask may have no size
                named.setdefault(frame, {}).setdefault(size, set()).add(counts)
    if several := [frame for frame, sizes in named.items() if len(sizes) > 1]:
        raise ValueError(f"objects of one video have masks of several sizes in frame {several[0]}")
    return {
        frame: area(union(sorted(masks), *size), *size)
        for frame, sizes in named.items()
        for size, masks in sizes.items()
    }


def _judge(sample: Sample, prediction: Prediction, everything: Foreground | None) -> Judgement:
    found = judge_masks(sample, prediction)
    values = found.values | _pixels(sample, prediction, everything)
    failures = dict.fromkeys(values, next(iter(found.failures.values()), ""))
    nothing_named = sample.category == HALLUCINATION and not prediction.failure and not prediction.masks
    if nothing_named:  # the right answer: masks of nothing
        failures = {}
    elif failures["J"] and _useless(sample, prediction):
        values = dict.fromkeys(values, 0.0)
    rounded = {f"{name} {ROUNDED}": round(100 * values[name], 2) / 100 for name in ("J", "F", "A", "R")
               if name in values}  # fmt: skip
    rounded[f"J&F {ROUNDED}"] = (rounded[f"J {ROUNDED}"] + rounded[f"F {ROUNDED}"]) / 2
    failures |= {f"{name} {ROUNDED}": failures[name] for name in MEASURES if failures.get(name)}
    return found._replace(values=values | rounded, failures={k: f for k, f in failures.items() if f})


def _useless(sample: Sample, prediction: Prediction) -> bool:
    """Whether the authors' code finds no masks to score, which gives 0 in every measure."""
    if prediction.failure is not None or not prediction.masks:
        return True
    truth, made = sample.targets[0], prediction.masks[0]
    return (made.height, made.width) != (truth.height, truth.width) or not set(truth.frames) <= {*made.frames}


def _pixels(sample: Sample, prediction: Prediction, everything: Foreground | None) -> dict[str, float]:
    """A and R, means over the frames of the truth; a frame without a mask counts as an empty one."""
    from pipeline.records.masks import area, empty, intersection

    truth = sample.targets[0]
    size = truth.height, truth.width
    made: dict[int, str] = {}
    if not prediction.failure and prediction.masks:
        track = prediction.masks[0]
        if (track.height, track.width) == size:
            made = dict(zip(track.frames, track.counts, strict=True))
    accurate, robust = [], []
    for frame, counts in zip(truth.frames, truth.counts, strict=True):
        ours = made.get(frame, empty(*size))
        both = area(intersection([ours, counts], *size), *size)
        surplus, lacking = area(ours, *size) - both, area(counts, *size) - both
        accurate.append(accuracy(surplus + lacking, size[0] * size[1]))
        if everything is not None:
            robust.append(robustness(surplus, everything.get(frame, 0)))
    return {name: sum(of) / len(of) for name, of in (("A", accurate), ("R", robust)) if of}


_FRAMES = "mean over all frames of an expression"
_OVERALL = f"{_FRAMES}, over the expressions of a kind, then of referring and reasoning"
_MAIN = ("J&F", "J", "F", "R")

REVOS = Benchmark(
    name="revos",
    title="ReVOS",
    about="ReVOS: masks of what an expression names or implies",
    accepts=(Task.SEGMENT,),
    baseline=CONSTANT_MASK_BY_CATEGORY,
    formats=("meta_expressions",),
    prompt=prompt,
    score=score,
    groups=Groups(of=of_video, score=score_video),
    metrics=(
        *(
            Metric(
                name=name,
                measure=name,
                over=Over.CATEGORIES,
                categories=(REFERRING, REASONING),
                main=name in _MAIN,
                rule=_OVERALL,
            )
            for name in MEASURES
        ),
        *(
            Metric(
                name=f"{name}, {kind}",
                measure=name,
                categories=(kind,),
                main=name == "J&F",
                rule=f"{_FRAMES}, then over the {kind} expressions",
            )
            for kind in (REFERRING, REASONING, HALLUCINATION)
            for name in MEASURES
        ),
        *(
            Metric(
                name=f"{name}, each rounded",
                measure=f"{name} {ROUNDED}",
                over=Over.CATEGORIES,
                categories=(REFERRING, REASONING),
                main=False,
                protocol=ROUNDED,
                rule=f"each expression rounded to 0.01 percent, as VISA's code does; {_OVERALL}",
            )
            for name in MEASURES
        ),
        pooled_frames(categories=(REFERRING, REASONING)),
    ),
    footnote="ReVOS: the mean of the referring and the reasoning expressions' means; hallucination, where "
    "nothing is to be found, is apart. R: pixels wrongly marked, in parts of all objects' pixels.",
)
