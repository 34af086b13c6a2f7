"""Samples with their pictures, spans and answers, ready for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from evaluation.benchmarks import Benchmark, benchmark_of
from evaluation.metrics.aggregate import Score
from evaluation.prediction import Prediction
from evaluation.report import timeline
from evaluation.report.colours import Colours, Kind, Legend, Outlines
from evaluation.report.frames import caption, mask_frames, shows, strip
from evaluation.report.pictures import Album, FramePicture
from evaluation.report.verdict import State, sample_score, verdict
from evaluation.spans import shown_part
from evaluation.submission.hidden import hides_truth, unscored
from evaluation.work import ranked
from pipeline.dataset.baked import BakedFootage
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.page.frames import mask_at, nearest
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.choices import letter
from pipeline.records.sample import MaskTrack, Role, Sample
from pipeline.times.temporal import with_seconds

TRUTH = "truth"
Lines = list[tuple[Outlines, str]]
Drawn = dict[int, Lines]  # by frame: outlines as paths


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A checkpoint's answer to a sample, and the score that its evaluation wrote; None if it wrote none."""

    prediction: Prediction
    score: Score | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of one checkpoint to a sample. ``score`` is in 0-1."""

    label: str
    text: str
    verdict: str
    state: State
    failure: str = ""
    score: float | None = None
    pictures: tuple[FramePicture, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One sample of the page. ``spans`` is SVG, everything else plain text. ``frames`` are data URIs."""

    key: str
    category: str
    question: str
    truth: str
    answers: tuple[Answer, ...]
    pictures: tuple[FramePicture, ...] = ()
    spans: str = ""
    problem: str = ""
    frames: tuple[str, ...] = ()
    legend: tuple[Legend, ...] = ()


def pick(
    keys: Sequence[str], categories: Sequence[str], count: int | None, seed: int, *, each: bool
) -> list[int]:
    """Indices of the samples to draw: ``count`` in all, in turn over the categories, or ``each`` of them.

    None: every sample, in the same order.
    """
    kinds = sorted(set(categories))
    queues = {}
    for kind in kinds:
        own = [i for i, c in enumerate(categories) if c == kind]
        queues[kind] = [own[k] for k in ranked([keys[i] for i in own], seed, "report")[:count]]
    turns = [i for round_ in zip_longest(*queues.values()) for i in round_ if i is not None]
    return turns if count is None else turns[: count * len(kinds) if each else count]


def example(
    reader: ShardReader, benchmark: BenchmarkConfig, sample: Sample, answers: Mapping[str, Given]
) -> Example:
    """One sample with the answers of each checkpoint, by label. Unreadable media leave the pictures out."""
    family = benchmark_of(benchmark.family)
    problem = ""
    try:
        album = Album(_frames(reader, sample))
    except (UserError, ValueError, IndexError, OSError) as error:
        album, problem = Album({}), f"no pictures: {error}"
    masked = bool(sample.targets) or hides_truth(family, sample)
    drawn = {label: _answered(sample, given, album) if masked else {} for label, given in answers.items()}
    plain = {} if sample.targets and not sample.regions else _pointed_at(sample, album)
    colours = album.colours()
    shown = tuple(
        _answer(family, sample, label, given, _mask_pictures(sample, drawn[label], album, colours, label))
        for label, given in answers.items()
    )
    return Example(
        key=sample.key,
        category=sample.category,
        question=_timed(sample, family.prompt(sample, benchmark.style)[0].text),
        truth=_timed(sample, _truth(family, sample)),
        pictures=_plain_pictures(sample, plain, album, colours),
        spans=_spans(family, sample, answers),
        answers=shown,
        problem=problem,
        frames=album.uris,
        legend=colours.legend,
    )


def _answer(
    family: Benchmark, sample: Sample, label: str, given: Given, pictures: tuple[FramePicture, ...]
) -> Answer:
    score = unscored(sample, given.prediction) if hides_truth(family, sample) else given.score
    if score is None:  # no row at all: as if its truth were hidden
        score = Score(key=sample.key, values={})
    text, state = verdict(score)
    return Answer(
        label=label,
        text=_timed(sample, given.prediction.text),
        verdict=text,
        state=state,
        failure=score.failure or "",
        score=sample_score(score),
        pictures=pictures,
    )


def _frames(reader: ShardReader, sample: Sample) -> dict[int, np.ndarray]:
    indices = [*mask_frames(sample), *strip(sample)] if sample.targets else strip(sample)
    source = reader.footage(sample)
    indices = nearest(indices, source.indices()) if isinstance(source, BakedFootage) else sorted(set(indices))
    return dict(zip(indices, source.decode(indices), strict=True))


def _outlines(tracks: Sequence[MaskTrack], kind: Kind, index: int, album: Album) -> Lines:
    found = [(number, mask_at(track, index)) for number, track in enumerate(tracks)]
    return [album.outline(index, kind, number, mask) for number, mask in found if mask is not None]


def _pointed_at(sample: Sample, album: Album) -> Drawn:
    """The frames of the strip with the objects that the question points at."""
    wanted = nearest(strip(sample), album.frames)
    return {index: _outlines(sample.regions, Kind.REGION, index, album) for index in wanted}


def _answered(sample: Sample, given: Given, album: Album) -> Drawn:
    """True and predicted masks by frame. A mask of another size than the video's is not drawn."""
    like = sample.targets[0] if sample.targets else sample.video
    wanted = mask_frames(sample) if sample.targets else nearest(strip(sample), album.frames)
    ours = [t for t in given.prediction.masks if (t.height, t.width) == (like.height, like.width)]
    return {
        index: [
            *_outlines(sample.targets, Kind.TRUE, index, album),
            *_outlines(ours, Kind.PREDICTED, index, album),
        ]
        for index in wanted
        if index in album.frames
    }


def _plain_pictures(sample: Sample, drawn: Drawn, album: Album, colours: Colours) -> tuple[FramePicture, ...]:
    made = []
    for index, lines in drawn.items():
        what = f"frame {index}" + (", marked objects outlined" if lines else "")
        made.append(album.picture(index, lines, colours, alt=what, caption=caption(sample, index)))
    return tuple(made)


def _mask_pictures(
    sample: Sample, drawn: Drawn, album: Album, colours: Colours, label: str
) -> tuple[FramePicture, ...]:
    seen = shows(sample)
    made = []
    for index, lines in drawn.items():
        count = sum(bool(path) for (kind, _), path in lines if kind is Kind.PREDICTED)
        predicted = f"{count or 'no'} predicted mask{'s' * (count != 1)}"
        there = ""
        if sample.targets:
            there = "object shows" if index in seen else "object absent"
        alt = ", ".join(part for part in (f"frame {index}", label, there, predicted) if part)
        below = caption(sample, index, there, "" if count else "no mask predicted")
        made.append(album.picture(index, lines, colours, alt=alt, caption=below))
    return tuple(made)


def _spans(family: Benchmark, sample: Sample, answers: Mapping[str, Given]) -> str:
    """The true spans and those of each answer that count, on a time line."""
    if not sample.spans:
        return ""
    count = None if family.several_spans else 1
    found = {label: given.prediction.spans[:count] for label, given in answers.items()}
    rows = [
        timeline.Row(name=name, spans=tuple((s.start_s, s.end_s) for s in spans), true=name == TRUTH)
        for name, spans in {TRUTH: sample.spans[:count], **found}.items()
    ]
    return timeline.timeline(rows, sample.video.duration_s)


def _timed(sample: Sample, text: str) -> str:
    """A text with seconds beside its time tokens, which count the sample's clip."""
    start_s, length_s = shown_part(sample)
    return with_seconds(text, length_s, clip_start_s=start_s)


def _truth(family: Benchmark, sample: Sample) -> str:
    if sample.answer_index >= 0:
        return f"({letter(sample.answer_index)}) {sample.choices[sample.answer_index]}"
    if hides_truth(family, sample):
        return "hidden"
    return next((t.text for t in sample.turns if t.role is Role.ASSISTANT), "")
