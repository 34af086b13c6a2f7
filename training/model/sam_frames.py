"""Which frames of a segmentation sample are trained on: by names, never by a worker's random stream."""

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
    """The frames on which the truth of all targets is known.

    Raises ValueError if there is none, or if targets differ in size.
    """
    targets = sample.targets
    if len({(t.height, t.width) for t in targets}) != 1:
        raise ValueError(f"{sample.key}: its targets have masks of different sizes")
    common = set(targets[0].frames).intersection(*(t.frames for t in targets[1:]))
    if not common:
        raise ValueError(f"{sample.key}: no frame is annotated for all of its {len(targets)} targets")
    seen = {
        f
        for t in targets
        for f, counts in zip(t.frames, t.counts, strict=True)
        if f in common and masks.area(counts, t.height, t.width)
    }
    return AnnotatedFrames(present=tuple(sorted(seen)), absent=tuple(sorted(common - seen)))


def choose_frames(annotated: AnnotatedFrames, count: int, *, names: Sequence[object]) -> tuple[int, ...]:
    """``count`` frames, ascending: those with the smallest hash of (names, frame), visible ones first.

    Frames without any target come in only where there are too few others. Fewer than ``count`` annotated
    frames are repeated evenly: two frames for four places give each twice.
    """
    order = [
        *sorted(annotated.present, key=lambda f: draw(*names, "sam", f)),
        *sorted(annotated.absent, key=lambda f: draw(*names, "sam", f)),
    ]
    chosen = order[:count]
    return tuple(sorted(chosen[i % len(chosen)] for i in range(count)))
