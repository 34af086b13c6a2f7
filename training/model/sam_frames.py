"""Which frames of a segmentation sample are trained on: chosen by hash, not by a worker's random state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.draw import draw
from pipeline.records import masks
from pipeline.records.sample import Sample


@dataclass(frozen=True, slots=True)
class AnnotatedFrames:
    """Frames that every target annotates, split by whether any target is visible there."""

    present: tuple[int, ...]
    absent: tuple[int, ...]


def common_frames(sample: Sample) -> AnnotatedFrames:
    """The frames that are annotated for all targets.

    Raises ValueError if there are none, or if the sizes of the targets differ.
    """
    targets = sample.targets
    if len({(t.height, t.width) for t in targets}) != 1:
        raise ValueError(f"{sample.key}: its targets have masks of different sizes")
    common = set(targets[0].frames).intersection(*(t.frames for t in targets[1:]))
    if not common:
        raise ValueError(f"{sample.key}: no frame is annotated for all of its {len(targets)} targets")
    visible = {
        f
        for t in targets
        for f, counts in zip(t.frames, t.counts, strict=True)
        if f in common and masks.area(counts, t.height, t.width)
    }
    return AnnotatedFrames(present=tuple(sorted(visible)), absent=tuple(sorted(common - visible)))


def choose_frames(annotated: AnnotatedFrames, count: int, *, names: Sequence[object]) -> tuple[int, ...]:
    """``count`` frames, ascending: those with the smallest hash of (names, frame), visible ones first.

    Frames without any target are used only if there are too few others. If fewer than ``count`` frames are
    annotated, they are repeated evenly: with ``count`` 4, two frames occur twice each.
    """
    order = [
        *sorted(annotated.present, key=lambda f: draw(*names, "sam", f)),
        *sorted(annotated.absent, key=lambda f: draw(*names, "sam", f)),
    ]
    chosen = order[:count]
    return tuple(sorted(chosen[i % len(chosen)] for i in range(count)))
