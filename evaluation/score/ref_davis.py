"""``ufvideo score ref_davis``: a DAVIS folder as truth, and masks by annotator or by expression.

``anno_K/<video>/<frame>.png`` are palette images of merged masks, as ReferFormer writes them, and can be
scored by the authors' protocol alone. Masks of single expressions, ``<video>/<expression>/<frame>.png`` or
RLE, are scored by both. Expression ``4 * n + K`` names the n-th object, objects sorted as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from evaluation.benchmarks import benchmark_of
from evaluation.benchmarks.ref_davis import OF_RUN, RUNS, score_video
from evaluation.metrics.aggregate import Score, rows
from evaluation.metrics.davis_unsupervised import Frame
from evaluation.metrics.davis_unsupervised import match as match_objects
from evaluation.score.given import Given
from evaluation.score.mask_trees import MaskFiles
from evaluation.score.match import Matched, match
from evaluation.score.palettes import VOID, object_ids, proposal_ids, sequences, spread
from evaluation.score.predicted import prediction_of
from evaluation.score.run import Scored
from evaluation.score.sources import read_predictions
from pipeline import progress
from pipeline.errors import UserError
from pipeline.records.sample import MaskTrack, Sample, Task, VideoRef

FAMILY = "ref_davis"
_PLACES = ("Annotations_unsupervised/480p", "Annotations_unsupervised")
_OF_ANNOTATOR = re.compile(r"(?:^|/)anno_(\d+)/([^/]+)/([^/]+)\.png$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video of the truth: its frames' files by name, and its predictions."""

    name: str
    frames: Mapping[str, str]
    given: tuple[Given | None, ...] = ()  # by expression
    merged: tuple[Mapping[str, str], ...] = ()  # by annotator, files by frame


def score(truth: Path, predictions: Path) -> Scored:
    """Score a folder, zip or file of predictions. Raises UserError for what cannot be read."""
    for place in (truth, predictions):
        if not place.exists():
            raise UserError(str(place), "does not exist.", "Correct --truth or --predictions.")
    files, videos = _truth(truth)
    samples = [sample for video in videos for sample in _samples(files, video)]
    benchmark = benchmark_of(FAMILY)
    images = predictions.is_dir() or predictions.suffix.lower() == ".zip"
    names = MaskFiles(predictions).names() if images else []
    if any(_OF_ANNOTATOR.search(name) for name in names):
        videos, matched = _by_annotator(videos, samples, names)
        work = partial(_merged, files, MaskFiles(predictions))
    else:
        matched = match(samples, read_predictions(predictions))
        videos = _by_expression(videos, samples, matched)
        work = partial(_expressions, files)
    if not matched.given:
        raise UserError(
            str(predictions),
            f"has nothing for the {len(videos)} videos of {truth}, such as {videos[0].name}.",
            "Masks are in anno_K/VIDEO/FRAME.png or VIDEO/EXPRESSION/FRAME.png.",
        )
    scores: list[Score] = []
    with progress.track(f"score {benchmark.title}", len(videos)) as bar:
        for part in spread(work, videos, sum(len(video.frames) for video in videos)):
            scores += part
            bar.advance()
    found = rows(FAMILY, benchmark.metrics, scores, benchmark.baseline)
    return Scored(
        benchmark=benchmark,
        samples=len(samples),
        scores=tuple(scores),
        rows=tuple(row for row in found if row.samples),
        matched=matched,
        unusable=(),
    )


def _truth(truth: Path) -> tuple[MaskFiles, list[Video]]:
    """The label images, and the videos of the validation list; all videos where there is no list."""
    home = next((truth / p for p in _PLACES if (truth / p).is_dir()), truth)
    if home == truth and (truth / "Annotations").is_dir():
        raise UserError(
            str(truth),
            "has no Annotations_unsupervised, and Annotations are others.",
            "Unpack DAVIS-2017-Unsupervised-trainval-480p.zip there, or name a folder of label images.",
        )
    files = MaskFiles(home)
    there = sequences(files.names())
    listed = truth / "ImageSets/2017/val.txt"
    wanted = listed.read_text().split() if listed.is_file() else list(there)
    if absent := [name for name in wanted if name not in there]:
        raise UserError(
            str(home),
            f"lacks {len(absent)} videos of {listed}, the first is {absent[0]}.",
            "Unpack the set again.",
        )
    if not wanted:
        raise UserError(str(home), "holds no PNG file.", "Name a DAVIS folder.")
    return files, [Video(name=name, frames=dict(sorted(there[name].items()))) for name in wanted]


def _objects(files: MaskFiles, video: Video) -> list[int]:
    """Values of a video's objects in the order of their expressions: as text."""
    first = files.read(next(iter(video.frames.values())))
    return sorted(object_ids([first]), key=str)


def _samples(files: MaskFiles, video: Video) -> list[Sample]:
    """The expressions of a video without their masks, which are read where they are scored."""
    ref = VideoRef(
        path=video.name, frames=tuple(f"{name}.png" for name in video.frames), num_frames=len(video.frames)
    )
    return [
        Sample(key=f"{FAMILY}/{video.name}/{number}", dataset=FAMILY, task=Task.SEGMENT, video=ref, turns=())
        for number in range(RUNS * len(_objects(files, video)))
    ]


def _by_expression(videos: Sequence[Video], samples: Sequence[Sample], matched: Matched) -> list[Video]:
    given: dict[str, list[Given | None]] = {video.name: [] for video in videos}
    for number, sample in enumerate(samples):
        given[sample.video.path].append(matched.given.get(number))
    return [Video(name=v.name, frames=v.frames, given=tuple(given[v.name])) for v in videos]


def _by_annotator(
    videos: Sequence[Video], samples: Sequence[Sample], names: Sequence[str]
) -> tuple[list[Video], Matched]:
    matched = Matched()
    merged: dict[tuple[str, int], dict[str, str]] = {}
    known = {video.name for video in videos}
    for name in names:
        found = _OF_ANNOTATOR.search(name)
        if found is None or int(found[1]) >= RUNS or found[2] not in known:
            matched.extra.append(name)
        else:
            merged.setdefault((found[2], int(found[1])), {})[found[3]] = name
    for number, sample in enumerate(samples):
        part = sample.key.rpartition("/")[2]
        video, run = sample.video.path, int(part) % RUNS
        if (video, run) in merged:
            matched.given[number] = Given(where=f"anno_{run}/{video}", names=())
        else:
            matched.missing.append(f"{video}/{part}")
    return [
        Video(
            name=v.name, frames=v.frames, merged=tuple(merged.get((v.name, run), {}) for run in range(RUNS))
        )
        for v in videos
    ], matched


def _expressions(files: MaskFiles, video: Video) -> list[Score]:
    """Both protocols, from a mask of each expression."""
    from pipeline.records.masks import encode

    ids = _objects(files, video)
    counts: dict[int, list[str]] = {value: [] for value in (*ids, VOID)}
    size = (1, 1)
    for name in video.frames.values():
        labels = files.read(name)
        size = (labels.shape[0], labels.shape[1])
        for value, masks in counts.items():
            masks.append(encode(labels == value))
    track = {
        value: MaskTrack(height=size[0], width=size[1], frames=tuple(range(len(masks))), counts=tuple(masks))
        for value, masks in counts.items()
    }
    samples, predictions = [], []
    for number, sample in enumerate(_samples(files, video)):
        true = Sample(
            key=sample.key, dataset=FAMILY, task=sample.task, video=sample.video, turns=(),
            targets=(track[ids[number // RUNS]],), void=track[VOID],
        )  # fmt: skip
        samples.append(true)
        predictions.append(prediction_of(true, video.given[number]))
    return [_of_video(s, video) for s in score_video(samples, predictions)]


def _merged(files: MaskFiles, made: MaskFiles, video: Video) -> list[Score]:
    """The authors' protocol, from merged masks of each annotator."""
    ids = _objects(files, video)
    by_key: dict[int, Score] = {}
    for run, ours in enumerate(video.merged):
        proposals = proposal_ids((made.read(name) for name in ours.values()), f"anno_{run}/{video.name}")
        problems: list[str] = []
        j, f = match_objects(_frames(files, made, video, ours, ids, proposals, problems))
        missing = [name for name in video.frames if name not in ours]
        if missing and ours:
            problems.append(f"no mask on {len(missing)} of {len(video.frames)} frames")
        failure = "no prediction" if not ours else "; ".join(problems)
        for n in range(len(ids)):
            means = float(j[n].mean()), float(f[n].mean())
            values = dict(zip(("J", "F", "J&F"), (*means, sum(means) / 2), strict=True))
            values = {f"{name} {OF_RUN}": value for name, value in values.items()}
            by_key[RUNS * n + run] = Score(
                key=f"{FAMILY}/{video.name}/{RUNS * n + run}",
                values=values,
                video=video.name,
                failures=dict.fromkeys(values, failure) if failure else {},
            )
    return [by_key[number] for number in sorted(by_key)]


def _frames(
    files: MaskFiles,
    made: MaskFiles,
    video: Video,
    ours: Mapping[str, str],
    ids: Sequence[int],
    proposals: Sequence[int],
    problems: list[str],
) -> Iterator[Frame]:
    for name, file in video.frames.items():
        labels = files.read(file)
        image = made.read(ours[name]) if name in ours else np.zeros_like(labels)
        if image.shape != labels.shape:
            problems.append(f"frame {name} has {image.shape} for {labels.shape} (height, width)")
            image = np.zeros_like(labels)
        void = labels == VOID
        yield Frame([image == i for i in proposals], [labels == i for i in ids], void if void.any() else None)


def _of_video(score: Score, video: Video) -> Score:
    from dataclasses import replace

    return replace(score, video=PurePosixPath(video.name).name)
