"""A few samples of each kind with their pictures, spans and answers, ready for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

import numpy as np

from evaluation.benchmarks import Benchmark, benchmark_of
from evaluation.metrics.aggregate import Score
from evaluation.metrics.choice_letters import letter
from evaluation.prediction import Prediction
from evaluation.report import charts
from evaluation.report.pictures import Colours, FramePicture, Masks, choose_colours, picture
from evaluation.report.table import number_text
from evaluation.submission.hidden import NOT_SCORED, hides_truth, unscored
from evaluation.work import ranked
from pipeline.dataset.baked import BakedFootage
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.page.frames import mask_at, nearest, spread_over, strip_frames
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records import masks as rle
from pipeline.records.sample import Role, Sample
from pipeline.times.frame_times import frame_times

MASK_FRAMES = 4
STRIP_FRAMES = 6
GOOD = 0.5  # J&F and tIoU from which on an answer is called right


class State(StrEnum):
    """What became of an answer. A failure is never right, whatever it earned."""

    RIGHT = "right"
    WRONG = "wrong"
    FAILED = "failed"
    UNSCORED = "unscored"  # its truth is hidden, or a judge marks it elsewhere


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of one checkpoint to a sample."""

    label: str
    text: str
    verdict: str
    state: State
    failure: str
    pictures: tuple[FramePicture, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One sample of the page. ``spans`` is SVG, everything else plain text."""

    key: str
    category: str
    question: str
    truth: str
    pictures: tuple[FramePicture, ...]
    spans: str
    answers: tuple[Answer, ...]
    problem: str = ""
    colours: Colours = field(default_factory=Colours)
    kinds: tuple[str, ...] = ()  # of its outlines: true, predicted, region


def pick(keys: Sequence[str], categories: Sequence[str], count: int, seed: int, *, each: bool) -> list[int]:
    """Indices of the samples to draw: ``count`` in all, in turn over the categories, or ``each`` of them."""
    kinds = sorted(set(categories))
    queues = {}
    for kind in kinds:
        own = [i for i, c in enumerate(categories) if c == kind]
        queues[kind] = [own[k] for k in ranked([keys[i] for i in own], seed, "report")[:count]]
    turns = [i for round_ in zip_longest(*queues.values()) for i in round_ if i is not None]
    return turns[: count * len(kinds) if each else count]


def example(
    reader: ShardReader,
    benchmark: BenchmarkConfig,
    sample: Sample,
    answers: Mapping[str, Prediction],
) -> Example:
    """One sample with the answers of each checkpoint, by label. Unreadable media leave the pictures out."""
    family = benchmark_of(benchmark.family)
    problem = ""
    try:
        frames = _frames(reader, sample)
    except (UserError, ValueError, IndexError, OSError) as error:
        frames, problem = {}, f"no pictures: {error}"
    hidden = hides_truth(family, sample)
    masked = bool(sample.targets) or hidden
    drawn = {label: _masks(sample, made, frames) if masked else {} for label, made in answers.items()}
    plain = {} if sample.targets and not sample.regions else _regions(sample, frames)
    every = [*plain.values(), *(one for found in drawn.values() for one in found.values())]
    colours = choose_colours(every)
    kinds = (("true", "true"), ("predicted", "predicted"), ("region", "regions"))
    shown = []
    for label, prediction in answers.items():
        score = unscored(sample, prediction) if hidden else family.score(sample, prediction)
        said, state = verdict(score)
        if hidden:
            said, state = NOT_SCORED, State.FAILED if score.failure else State.UNSCORED
        shown.append(
            Answer(
                label=label,
                text=prediction.text,
                verdict=said,
                state=state,
                failure=score.failure or "",
                pictures=_mask_pictures(sample, drawn[label], colours, label),
            )
        )
    return Example(
        key=sample.key,
        category=sample.category,
        question=family.prompt(sample, benchmark.style)[0].text,
        truth=_truth(family, sample),
        pictures=_plain_pictures(sample, plain, colours),
        spans=_spans(family, sample, answers),
        answers=tuple(shown),
        problem=problem,
        colours=colours,
        kinds=tuple(name for name, field_ in kinds if any(getattr(one, field_) for one in every)),
    )


def mask_frames(sample: Sample) -> list[int]:
    """A few annotated frames: most of those in which a target shows, and some in which none does."""
    seen = _shows(sample)
    absent = sorted({frame for track in sample.targets for frame in track.frames} - seen)
    if not seen or not absent:
        return spread_over(sorted(seen) or absent, MASK_FRAMES)
    without = min(len(absent), max(1, MASK_FRAMES - len(seen)))
    return sorted([*spread_over(sorted(seen), MASK_FRAMES - without), *spread_over(absent, without)])


def _shows(sample: Sample) -> set[int]:
    """Frames on which a target is not empty."""
    return {
        frame
        for track in sample.targets
        for frame, counts in zip(track.frames, track.counts, strict=True)
        if rle.area(counts, track.height, track.width)
    }


def _frames(reader: ShardReader, sample: Sample) -> dict[int, np.ndarray]:
    indices = [*mask_frames(sample), *_strip(sample)] if sample.targets else _strip(sample)
    source = reader.footage(sample)
    indices = nearest(indices, source.indices()) if isinstance(source, BakedFootage) else sorted(set(indices))
    return dict(zip(indices, source.decode(indices), strict=True))


def _strip(sample: Sample) -> list[int]:
    """Frames that stand for the whole video or clip; for pointed-at objects, frames that show where."""
    if sample.regions:
        return sorted({t.frames[len(t.frames) // 2] for t in sample.regions})
    if sample.targets:
        return []
    return strip_frames(sample, STRIP_FRAMES)


def _regions(sample: Sample, frames: Mapping[int, np.ndarray]) -> dict[int, Masks]:
    """The frames of the strip with the objects that the question points at."""
    return {
        index: Masks(
            frame=frames[index],
            regions=[m for t in sample.regions if (m := mask_at(t, index)) is not None],
        )
        for index in nearest(_strip(sample), frames)
    }


def _masks(sample: Sample, prediction: Prediction, frames: Mapping[int, np.ndarray]) -> dict[int, Masks]:
    """True and predicted masks by frame. A mask of another size than the video's is not drawn."""
    like = sample.targets[0] if sample.targets else sample.video
    wanted = mask_frames(sample) if sample.targets else nearest(_strip(sample), frames)
    found = {}
    for index in (index for index in wanted if index in frames):
        ours = [m for t in prediction.masks if (m := mask_at(t, index)) is not None]
        found[index] = Masks(
            frame=frames[index],
            true=[m for t in sample.targets if (m := mask_at(t, index)) is not None],
            predicted=[m for m in ours if m.shape == (like.height, like.width)],
        )
    return found


def _plain_pictures(sample: Sample, found: Mapping[int, Masks], colours: Colours) -> tuple[FramePicture, ...]:
    made = []
    for index, one in found.items():
        what = f"frame {index}" + (", marked objects outlined" if one.regions else "")
        made.append(picture(one, colours, alt=what, caption=_time(sample, index)))
    return tuple(made)


def _mask_pictures(
    sample: Sample, found: Mapping[int, Masks], colours: Colours, label: str
) -> tuple[FramePicture, ...]:
    seen = _shows(sample)
    made = []
    for index, one in found.items():
        count = sum(bool(mask.any()) for mask in one.predicted)
        said = f"{count or 'no'} predicted mask{'s' * (count != 1)}"
        there = ""
        if sample.targets:
            there = "object shows" if index in seen else "object absent"
        alt = ", ".join(part for part in (f"frame {index}", label, there, said) if part)
        caption = " · ".join(part for part in (_time(sample, index), there) if part)
        made.append(picture(one, colours, alt=alt, caption=caption))
    return tuple(made)


def _time(sample: Sample, index: int) -> str:
    """When a frame begins: ``2.4 s``."""
    return f"{frame_times(sample.video).span_s(index, index)[0]:.1f} s"


def _spans(family: Benchmark, sample: Sample, answers: Mapping[str, Prediction]) -> str:
    """The true spans and those of each answer that count."""
    if not sample.spans:
        return ""
    bars = []
    for name, kind, spans in (
        ("truth", "true", sample.spans),
        *((label, "made", prediction.spans) for label, prediction in answers.items()),
    ):
        ends = [(span.start_s, span.end_s) for span in spans]
        more = tuple(ends[1:]) if family.several_spans else ()
        bars.append(charts.Bar(name=name, span=ends[0] if ends else None, kind=kind, more=more))
    return charts.spans(bars, sample.video.duration_s)


def verdict(score: Score) -> tuple[str, State]:
    """A score in one line, and what became of the answer."""
    values = score.values
    if "accuracy" in values:
        how = f" (read by: {score.read_by})" if score.read_by else ""
        right = bool(values["accuracy"])
        text, state = ("right" if right else "wrong") + how, State.RIGHT if right else State.WRONG
    elif parts := [(name, values[name]) for name in ("J&F", "tIoU") if name in values]:
        text = "  ".join(f"{name} {number_text(value)}" for name, value in parts)
        state = State.RIGHT if all(value >= GOOD for _, value in parts) else State.WRONG
    else:  # marks alone: those of a failure are here, a judge's are with the scores
        text, state = ("SAvg 0.00" if score.failure else "marks: see judgements.jsonl"), State.UNSCORED
    return text, State.FAILED if score.failure else state


def _truth(family: Benchmark, sample: Sample) -> str:
    if sample.answer_index >= 0:
        return f"({letter(sample.answer_index)}) {sample.choices[sample.answer_index]}"
    if hides_truth(family, sample):
        return "hidden"
    return next((t.text for t in sample.turns if t.role is Role.ASSISTANT), "")
