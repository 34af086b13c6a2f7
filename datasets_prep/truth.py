"""The truth of a benchmark from its own annotation files alone: no plan, no video, no Ray.

Predictions that other code made are scored against it. Records are read by the same readers as in
preparation; only what needs a video differs. Spans in seconds stay as they are written, also past the end of
the video; spans in parts of the video count parts of one second if the record does not say how long it is.
Masks have the size that their RLE says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from datasets_prep.draft import (
    RECORD_ERRORS,
    TIME_MARK,
    Draft,
    DraftSpan,
    DraftTrack,
    Reason,
    RejectError,
    Unit,
    unforeseen,
)
from datasets_prep.passes.chunks import cut, list_units
from datasets_prep.passes.read import read_chunk
from pipeline.plan.data import SourceConfig, Use
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, TimeSpan, VideoRef
from pipeline.storage.location import Location

_RECORDS = 4096  # of a chunk
_BINS = 100
_UNKNOWN = 0  # height and width of masks of which every one is empty and none says its size


@dataclass(frozen=True, kw_only=True, slots=True)
class Unusable:
    """A record that cannot be scored against, and why."""

    key: str
    reason: str


def read_truth(
    format_: str, annotations: Location, masks_at: Location | None = None, name: str = "truth", seed: int = 42
) -> Iterator[Sample | Unusable]:
    """Samples of a benchmark's annotation file or folder, in its order. Keys begin with ``name``.

    Raises UserError for a file that is missing or cannot be read as a whole.
    """
    source = SourceConfig(
        name=name,
        format=format_,
        use=Use.BENCHMARK,
        annotations=annotations.uri,
        masks=masks_at.uri if masks_at else None,
        media=("/",),
    )
    for unit in list_units([source], _resolver(annotations)):
        for chunk in cut(unit, _RECORDS):
            for item in read_chunk(unit, chunk, seed):
                if item.left_out:
                    continue
                try:
                    if item.error is not None:
                        raise item.error
                    assert item.draft is not None, "a record is read, left out or rejected"
                    yield _sample(item.draft, name)
                except RejectError as error:
                    yield Unusable(key=item.key, reason=str(error))
                except RECORD_ERRORS as error:
                    yield Unusable(key=item.key, reason=str(unforeseen(error, item.key)))


def _resolver(beside: Location) -> Callable[[str], Location]:
    return lambda path: Location.parse(path, beside.cache)


def _sample(draft: Draft, name: str) -> Sample:
    length_s = draft.duration_s or 0.0
    answer = "".join(turn.text for turn in draft.turns if turn.role is Role.ASSISTANT)
    spoken = [int(n) for n in re.findall(TIME_MARK, answer)]
    frames = draft.media.frames
    return Sample(
        key=draft.key,
        dataset=name,
        task=draft.task,
        video=VideoRef(path=_path(draft), frames=frames, num_frames=len(frames), duration_s=length_s),
        turns=draft.turns,
        targets=_tracks(draft.targets, draft),
        void=next(iter(_tracks((draft.void,) if draft.void else (), draft)), None),
        spans=tuple(_span(draft.times[n], length_s) for n in spoken),
        expression=draft.expression,
        choices=draft.choices,
        answer_index=draft.answer_index,
        reference=draft.reference,
        category=draft.category,
    )


def _path(draft: Draft) -> str:
    return str(PurePosixPath(draft.media.candidates[0])) if draft.media.candidates else ""


def _span(time: DraftSpan, length_s: float) -> TimeSpan:
    start, end = time.start, time.start if time.end is None else time.end
    match time.unit:
        case Unit.SECONDS:
            scale = 1.0
        case Unit.FRACTION:
            scale = length_s or 1.0
        case Unit.BINS:
            scale = (length_s or 1.0) / _BINS
        case _:
            raise RejectError(Reason.BAD_SPAN, f"a span in {time.unit} cannot be scored without its video")
    return TimeSpan(start_s=start * scale, end_s=end * scale, start_bin=0, end_bin=0)


def _tracks(tracks: Sequence[DraftTrack], draft: Draft) -> tuple[MaskTrack, ...]:
    return tuple(_track(track, draft.frame_size or _size(tracks)) for track in tracks)


def _size(tracks: Sequence[DraftTrack]) -> tuple[int, int]:
    """The size that the first mask says, of any object; (0, 0) if all are empty and none says one."""
    for track in tracks:
        for _, forms in track.masks:
            for form in forms:
                if isinstance(form, dict) and "size" in form:
                    height, width = form["size"]
                    return height, width
                if form:
                    raise RejectError(Reason.MASK_SIZE, "a mask that does not say its size needs its video")
    return _UNKNOWN, _UNKNOWN


def _track(track: DraftTrack, size: tuple[int, int]) -> MaskTrack:
    height, width = size
    if track.timed:
        raise RejectError(Reason.FRAME_OUTSIDE, "a mask at a time cannot be placed without its video")
    entries = sorted(track.masks, key=lambda entry: entry[0])
    return MaskTrack(
        height=height,
        width=width,
        frames=tuple(frame for frame, _ in entries),
        counts=tuple(_mask(forms, height, width) for _, forms in entries),
    )


def _mask(forms: Sequence[Any], height: int, width: int) -> str:
    if not (height and width):
        return ""
    counts = [masks.from_source(form, height, width) for form in forms]
    return counts[0] if len(counts) == 1 else masks.union(counts, height, width)
