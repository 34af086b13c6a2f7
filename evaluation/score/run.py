"""``ufvideo score BENCHMARK``: truth and predictions in, rows out."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from datasets_prep.truth import Unusable, read_truth
from evaluation.benchmarks import Benchmark, benchmark_of
from evaluation.benchmarks.groups import gather
from evaluation.judge.marking import Marked
from evaluation.metrics.aggregate import MetricRow, Score, Unit, rows
from evaluation.score.given import Given
from evaluation.score.judged import marked, texts_of
from evaluation.score.match import Matched, match
from evaluation.score.predicted import prediction_of, with_times
from evaluation.score.sources import read_predictions
from evaluation.spans import SpanRules
from pipeline import progress
from pipeline.errors import UserError
from pipeline.plan.benchmarks import FAMILIES
from pipeline.plan.judge import JudgeConfig
from pipeline.plan.suggest import suggest
from pipeline.records.sample import MaskTrack, Sample
from pipeline.storage.location import Location

SLICE = 64  # samples that a process scores at once
Group = Sequence[tuple[Sample, Given | None]]  # samples that are scored together
PARALLEL_MASKS = 2000  # with at least so many true masks, starting processes is worth while


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The results, and everything that could not be matched."""

    benchmark: Benchmark
    samples: int
    scores: tuple[Score, ...]
    rows: tuple[MetricRow, ...]
    matched: Matched
    unusable: tuple[Unusable, ...]
    marked: Marked | None = None  # by a judge


def known_benchmark(name: str) -> Benchmark:
    """The benchmark of a name. Raises UserError for one that is not known or cannot be scored here."""
    known = [n for n in FAMILIES.names() if benchmark_of(n).formats]
    if name not in known:
        raise UserError(f"benchmark {name}", "is not known.", suggest(name, [*known, "masks"], "There are"))
    return benchmark_of(name)


def score(
    benchmark: Benchmark,
    truth: Path,
    predictions: Path,
    *,
    masks: Path | None = None,
    rules: SpanRules | None = None,
    judge: JudgeConfig | None = None,
    judge_cache: str | None = None,
) -> Scored:
    """Score a file or folder of predictions. Raises UserError for what cannot be read.

    With ``judge`` a language model marks the texts; its judgements are kept in ``judgements/`` of
    ``judge_cache``.
    """
    samples, unusable = _truth(benchmark, truth, masks)
    matched = match(samples, read_predictions(predictions))
    if not matched.given:
        _refuse(benchmark, predictions, truth, samples[0], matched)
    work = partial(judged, benchmark.name, rules or SpanRules())
    groups = [
        [(samples[number], matched.given.get(number)) for number in numbers]
        for numbers in gather([sample.key for sample in samples], benchmark.groups)
    ]
    with progress.track(f"score {benchmark.title}", len(samples)) as bar:
        scores: Sequence[Score] = _spread(work, groups, bar.advance)
    marks = None
    if judge is not None:
        texts = texts_of(benchmark, samples, matched.given)
        marks = marked(benchmark, scores, texts, judge, judge_cache)
        scores = marks.scores[benchmark.name]
    found = rows(benchmark.name, benchmark.metrics, scores, benchmark.baseline)
    if not benchmark.marks and not any(row.samples for row in found):
        kinds = sorted({sample.category or "none" for sample in samples})
        raise UserError(
            str(truth),
            f"its {len(samples):,} samples count in no metric of {benchmark.title}: their kinds are "
            f"{', '.join(kinds[:5])}.",
            f"Check that this is the truth of {benchmark.title}.",
        )
    return Scored(
        benchmark=benchmark,
        samples=len(samples),
        scores=tuple(scores),
        rows=tuple(_told(row, benchmark, marks) for row in found if row.samples or row.missing),
        matched=matched,
        unusable=tuple(unusable),
        marked=marks,
    )


def _refuse(
    benchmark: Benchmark, predictions: Path, truth: Path, sample: Sample, matched: Matched
) -> NoReturn:
    if matched.ambiguous:
        raise UserError(
            str(predictions),
            f"its {len(matched.ambiguous):,} predictions fit samples of several videos each; the first is "
            f"{matched.ambiguous[0]}.",
            "Add the video, or the id, to each.",
        )
    if not matched.extra:
        raise UserError(str(predictions), "holds no prediction.", "Correct --predictions.")
    what = f" and the words {sample.expression!r}" if sample.expression else ""
    raise UserError(
        str(predictions),
        f"none of its {len(matched.extra):,} predictions is for a sample of {truth}; the first is "
        f"{matched.extra[0]}.",
        f"Check that they are of {benchmark.title}. Its first sample has the id "
        f"{sample.key.partition('/')[2]}, the video {sample.video.path}{what}.",
    )


def _told(row: MetricRow, benchmark: Benchmark, marks: Marked | None) -> MetricRow:
    """The row of a judge's marks with the judge in its description."""
    if marks is None or row.unit != Unit.MARK:
        return row
    return replace(row, description=f"{row.description}; {marks.judged_by[benchmark.name]}")


def judged(name: str, rules: SpanRules, groups: Sequence[Group]) -> list[Score]:
    """The scores of some groups of samples; runs in any process."""
    benchmark = benchmark_of(name)
    out: list[Score] = []
    for group in groups:
        samples, predictions = [], []
        for sample, given in group:
            prediction = prediction_of(sample, given)
            if benchmark.times and not prediction.spans:
                prediction = with_times(prediction, sample, rules)
            size = next(((t.height, t.width) for t in prediction.masks), (1, 1))
            samples.append(replace(sample, targets=tuple(_sized(t, *size) for t in sample.targets)))
            predictions.append(prediction)
        if benchmark.groups is not None:
            scored = benchmark.groups.score(samples, predictions)
        else:
            scored = [benchmark.score(*pair) for pair in zip(samples, predictions, strict=True)]
        out += [replace(s, video=one.video.path) for s, one in zip(scored, samples, strict=True)]
    return out


def _truth(benchmark: Benchmark, truth: Path, masks: Path | None) -> tuple[list[Sample], list[Unusable]]:
    samples: list[Sample] = []
    unusable: list[Unusable] = []
    places = [Location.parse(place) if place else None for place in (truth, masks)]
    assert places[0] is not None, "truth is given"
    try:
        for item in read_truth(benchmark.formats[0], places[0], places[1]):
            if isinstance(item, Unusable):
                unusable.append(item)
            else:
                samples.append(item)
    except UserError as error:
        if not error.where.startswith("source "):
            raise
        # The advice is about a plan's source, which is not there.
        raise UserError(str(truth), f"{error.problem}", "Check --truth against docs/scoring.md.") from None
    if not samples:
        reason = f" ({unusable[0].key}: {unusable[0].reason})" if unusable else ""
        raise UserError(
            str(truth),
            f"holds no sample of {benchmark.title}{reason}.",
            "Check --truth against docs/scoring.md.",
        )
    return samples, unusable


def _sized(track: MaskTrack, height: int, width: int) -> MaskTrack:
    """A track of empty masks without a size, in the size of the prediction."""
    if track.height and track.width:
        return track
    from pipeline.records.masks import empty

    return replace(track, height=height, width=width, counts=(empty(height, width),) * len(track.frames))


def _spread(
    judge: Callable[[Sequence[Group]], list[Score]],
    groups: Sequence[Group],
    advance: Callable[[int], None],
) -> list[Score]:
    """Scores in order of the groups; in several processes where there are many masks."""
    slices: list[list[Group]] = [[]]
    for group in groups:
        if sum(map(len, slices[-1])) >= SLICE:
            slices.append([])
        slices[-1].append(group)
    true_masks = sum(len(t.frames) for group in groups for sample, _ in group for t in sample.targets)
    processes = min(len(os.sched_getaffinity(0)), len(slices))
    out: list[Score] = []
    if processes < 2 or true_masks < PARALLEL_MASKS:
        for part in slices:
            out += judge(part)
            advance(sum(map(len, part)))
        return out
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for scores in pool.map(judge, slices):
            out += scores
            advance(len(scores))
    return out
