"""Samples whose truth only a server knows: they are answered, but not scored, and submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from evaluation.benchmarks.base import Benchmark
from evaluation.metrics.aggregate import MetricRow, Score
from evaluation.prediction import Prediction
from pipeline.records.sample import MaskTrack, Sample, Task

NOT_SCORED: Final = "not scored here"
WHY: Final = f"{NOT_SCORED}: the truth is hidden, and only the benchmark's server knows it"


def hides_truth(benchmark: Benchmark, sample: Sample) -> bool:
    """Whether a sample of a benchmark that takes submissions came without its masks."""
    return benchmark.submits and sample.task is Task.SEGMENT and not sample.targets


def usable_masks(sample: Sample, prediction: Prediction) -> tuple[MaskTrack | None, str]:
    """The masks of an answer on every frame, at the frame's size; and what is wrong with the answer, or "".

    Of several [SEG] the first counts, as where there is a truth. A server that reads masks of another size or
    misses a frame scores the whole archive wrongly or not at all, so such masks count as missing.
    """
    if prediction.failure is not None:
        return None, prediction.failure
    if not prediction.masks:
        return None, "no [SEG] in the answer"
    track, video = prediction.masks[0], sample.video
    if (track.height, track.width) != (video.height, video.width):
        return None, f"masks of {track.height}x{track.width} for frames of {video.height}x{video.width}"
    missing = set(range(video.num_frames)) - set(track.frames)
    if missing:
        return None, f"no mask on {len(missing)} of {video.num_frames} frames"
    return track, f"{len(prediction.masks)} masks for one expression" if len(prediction.masks) > 1 else ""


def unscored(sample: Sample, prediction: Prediction) -> Score:
    """The score of an answer whose truth is hidden: no value, but whether the answer can be used."""
    _, problem = usable_masks(sample, prediction)
    return Score(
        key=sample.key,
        category=sample.category,
        video=sample.video.sha256,
        values={},
        failures={"masks": problem} if problem else {},
    )


def unscored_rows(rows: Sequence[MetricRow], scores: Mapping[str, Sequence[Score]]) -> list[MetricRow]:
    """The rows, those of hidden truth without a value; ``scores`` are the unscored answers by entry.

    Only their headline metrics are kept, and count the answers.
    """
    out = []
    for row in rows:
        if row.benchmark not in scores:
            out.append(row)
        elif row.main and not row.category:
            group = scores[row.benchmark]
            failed = sum(score.failure is not None for score in group)
            out.append(
                replace(row, value=None, samples=len(group), failures=failed, description=WHY, protocol="")
            )
    return out
