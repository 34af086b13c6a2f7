"""A few samples of each kind with their pictures, spans and answers, ready for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from evaluation.benchmarks import Benchmark, benchmark_of
from evaluation.metrics.aggregate import Score
from evaluation.metrics.choice_letters import letter
from evaluation.prediction import Prediction
from evaluation.report import charts
from evaluation.report.pictures import picture
from evaluation.report.table import number_text
from evaluation.submission.hidden import NOT_SCORED, hides_truth, unscored
from evaluation.work import ranked
from pipeline.dataset.baked import BakedFootage
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.page.frames import annotated_frames, mask_at, nearest, strip_frames
from pipeline.page.pictures import Picture
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Role, Sample

MASK_FRAMES = 4
STRIP_FRAMES = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer of one checkpoint to a sample."""

    label: str
    text: str
    verdict: str
    good: bool | None  # None: not scored here
    failure: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One sample of the page. ``spans`` is SVG, everything else plain text."""

    key: str
    category: str
    question: str
    truth: str
    pictures: tuple[Picture, ...]
    spans: str
    answers: tuple[Answer, ...]
    problem: str = ""


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
    shown = []
    for label, prediction in answers.items():
        hidden = hides_truth(family, sample)
        score = unscored(sample, prediction) if hidden else family.score(sample, prediction)
        verdict, good = (NOT_SCORED, None) if hidden else _verdict(score)
        shown.append(
            Answer(
                label=label,
                text=prediction.text,
                verdict=verdict,
                good=good,
                failure=score.failure or "",
                pictures=_mask_pictures(sample, prediction, frames, label)
                if sample.targets or hidden
                else (),
            )
        )
    return Example(
        key=sample.key,
        category=sample.category,
        question=family.prompt(sample, benchmark.style)[0].text,
        truth=_truth(family, sample),
        pictures=() if sample.targets and not sample.regions else _plain_pictures(sample, frames),
        spans=_spans(sample, answers),
        answers=tuple(shown),
        problem=problem,
    )


def mask_frames(sample: Sample) -> list[int]:
    """A few annotated frames, spread evenly over those in which a target shows, else over all."""
    return annotated_frames(sample.targets, MASK_FRAMES)


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


def _plain_pictures(sample: Sample, frames: Mapping[int, np.ndarray]) -> tuple[Picture, ...]:
    made = []
    for index in nearest(_strip(sample), frames):
        regions = [m for t in sample.regions if (m := mask_at(t, index)) is not None]
        what = f"frame {index}" + (", marked objects outlined in blue" if regions else "")
        made.append(Picture(uri=picture(frames[index], regions=regions), alt=what))
    return tuple(made)


def _mask_pictures(
    sample: Sample, prediction: Prediction, frames: Mapping[int, np.ndarray], label: str
) -> tuple[Picture, ...]:
    made = []
    like = sample.targets[0] if sample.targets else sample.video
    size = (like.height, like.width)
    for index in mask_frames(sample) if sample.targets else nearest(_strip(sample), frames):
        if index not in frames:
            continue
        true = [m for t in sample.targets if (m := mask_at(t, index)) is not None]
        ours = [m for t in prediction.masks if (m := mask_at(t, index)) is not None]
        # The frame itself may be smaller than the video, as it was baked.
        ours = [m for m in ours if m.shape == size]
        mask_count = f"{len(ours) or 'no'} predicted mask{'s' * (len(ours) != 1)}"
        alt = f"frame {index}, {label}: {'true outline and ' if sample.targets else ''}{mask_count}"
        made.append(Picture(uri=picture(frames[index], true=true, predicted=ours), alt=alt))
    return tuple(made)


def _spans(sample: Sample, answers: Mapping[str, Prediction]) -> str:
    if not sample.spans:
        return ""
    bars = [charts.Bar(name="truth", span=(sample.spans[0].start_s, sample.spans[0].end_s), kind="true")]
    for label, prediction in answers.items():
        first = prediction.spans[0] if prediction.spans else None
        bars.append(charts.Bar(name=label, span=(first.start_s, first.end_s) if first else None, kind="made"))
    return charts.spans(bars, sample.video.duration_s)


def _verdict(score: Score) -> tuple[str, bool]:
    """A score in one line, and whether it is shown as good."""
    values = score.values
    if "accuracy" in values:
        how = f" (read by: {score.read_by})" if score.read_by else ""
        return ("right" if values["accuracy"] else "wrong") + how, bool(values["accuracy"])
    parts = [(name, values[name]) for name in ("J&F", "tIoU") if name in values]
    if not parts:  # marks alone: those of a failure are here, a judge's are with the scores
        return ("SAvg 0.00" if score.failure else "marks: see judgements.jsonl"), False
    return "  ".join(f"{name} {number_text(value)}" for name, value in parts), all(v >= 0.5 for _, v in parts)


def _truth(family: Benchmark, sample: Sample) -> str:
    if sample.answer_index >= 0:
        return f"({letter(sample.answer_index)}) {sample.choices[sample.answer_index]}"
    if hides_truth(family, sample):
        return "hidden"
    return next((t.text for t in sample.turns if t.role is Role.ASSISTANT), "")
