"""Makes a valid Sample of a Draft and its video: times in seconds and bins, masks as compressed RLE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from datasets_prep.draft import (
    RECORD_ERRORS,
    TIME_MARK,
    Draft,
    DraftSpan,
    DraftTrack,
    Media,
    Reason,
    RejectError,
    unforeseen,
)
from datasets_prep.passes.clock import Clock
from datasets_prep.passes.irregular import irregularities
from datasets_prep.passes.media_table import MediaTable, ProbedMedia
from datasets_prep.passes.read import name_media
from datasets_prep.passes.validate import check
from pipeline.draw import draw
from pipeline.plan.data import SourceConfig, Use
from pipeline.records import masks
from pipeline.records.irregularity import Irregular
from pipeline.records.sample import MaskTrack, Role, Sample, TimeSpan, Turn, VideoRef
from pipeline.times import temporal


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedSample:
    """A sample and its irregularities."""

    sample: Sample
    irregular: tuple[Irregular, ...] = ()
    outside_s: float = 0.0  # how far outside the furthest of the clamped times was, in seconds

    @property
    def clamped(self) -> bool:
        """Whether a time in it was clamped to its video (only where the plan allows that)."""
        return self.outside_s > 0


class Finisher:
    """Makes valid samples of the drafts of one source, from the table of media."""

    def __init__(
        self,
        source: SourceConfig,
        media: MediaTable,
        min_frames: int,
        seed: int,
    ) -> None:
        self._source, self._media, self._seed = source, media, seed
        self._min_frames = source.min_frames or min_frames
        self._known: dict[Media, ProbedMedia] = {}

    def finish_all(self, drafts: Sequence[Draft]) -> Iterator[FinishedSample | RejectError]:
        """Of each draft the valid sample with its own and its video's irregularities, or why there is none.

        The media of all are looked up at once.
        """
        self._look_up(draft.media for draft in drafts)
        for draft in drafts:
            try:
                yield self._valid(draft)
            except RejectError as error:
                yield error

    def _look_up(self, media: Iterable[Media]) -> None:
        new = {medium: b"" for medium in media if medium not in self._known}
        ids = [name_media(medium, self._source).id for medium in new]
        self._known |= zip(new, self._media.find(ids), strict=True)

    def videos(self, media: Iterable[Media]) -> list[int | None]:
        """The row of each medium's video in the table of media, None if its samples are rejected."""
        media = list(media)
        self._look_up(media)
        good = {
            medium: found.row
            for medium, found in self._known.items()
            if found.video is not None and found.video.num_frames >= self._min_frames
        }
        return [good.get(medium) for medium in media]

    def column(self, rows: Sequence[int]) -> pa.StructArray:
        """The videos in some rows that ``videos`` returned, as a column of a shard."""
        return self._media.videos(rows)

    def _valid(self, draft: Draft) -> FinishedSample:
        found = self._known[draft.media]
        if found.video is None:
            raise RejectError(Reason(found.reason), found.detail)
        try:
            finished = finish(draft, self._source, found.video, self._seed)
            check(finished.sample, self._source.use, self._min_frames)
        except RejectError:
            raise
        except RECORD_ERRORS as error:
            raise unforeseen(error, draft.key) from error
        if found.irregular:
            finished = replace(finished, irregular=(*found.irregular, *finished.irregular))
        return finished

    def irregular(self, row: int) -> tuple[Irregular, ...]:
        """The irregularities of the video in a row that ``videos`` returned."""
        return self._media.irregular.get(row, ())


def finish(draft: Draft, source: SourceConfig, video: VideoRef, seed: int) -> FinishedSample:
    """Resolve a draft. Raises RejectError with the reason."""
    irregular = irregularities(draft, source, video)
    if not (draft.times or draft.regions or draft.targets or draft.clip or draft.frame_size):
        return FinishedSample(sample=_of_words(draft, source, video), irregular=irregular)
    clock = Clock(video, source, draft.duration_s)
    clip = clock.set_clip(draft.clip) if draft.clip else None
    written = [clock.resolve(time) for time in draft.times]
    spans: dict[Role, list[TimeSpan]] = {role: [] for role in Role}
    instants: list[TimeSpan] = []
    turns = []
    for turn in draft.turns:
        for index in map(int, re.findall(TIME_MARK, turn.text)):
            same_kind = instants if draft.times[index].end is None else spans[turn.role]
            same_kind.append(written[index])
        text = re.sub(TIME_MARK, lambda m: _text(draft.times[int(m[1])], written[int(m[1])]), turn.text)
        turns.append(Turn(role=turn.role, text=text))
    if draft.frame_size and draft.frame_size != (video.height, video.width):
        claimed = "x".join(map(str, draft.frame_size))
        raise RejectError(
            Reason.MASK_SIZE, f"row says {claimed}, video is {video.height}x{video.width} (height x width)"
        )
    regions = [_track(track, video, clock) for track in draft.regions]
    if draft.one_region_frame:
        regions = _one_frame(regions, draft, seed)
    sample = Sample(
        key=draft.key,
        dataset=source.name,
        task=draft.task,
        video=video,
        turns=tuple(turns),
        regions=tuple(regions),
        targets=tuple(_track(track, video, clock) for track in draft.targets),
        void=_track(draft.void, video, clock) if draft.void else None,
        spans=tuple(spans[Role.ASSISTANT]),
        question_spans=tuple(spans[Role.USER]),
        instants=tuple(instants),
        clip=clip,
        expression=draft.expression,
        choices=draft.choices,
        answer_index=draft.answer_index,
        reference=draft.reference if source.use is Use.BENCHMARK else "",
        category=draft.category,
    )
    irregular = (*irregular, *clock.irregular())
    return FinishedSample(sample=sample, irregular=irregular, outside_s=clock.outside_s)


def _of_words(draft: Draft, source: SourceConfig, video: VideoRef) -> Sample:
    return Sample(
        key=draft.key,
        dataset=source.name,
        task=draft.task,
        video=video,
        turns=draft.turns,
        expression=draft.expression,
        choices=draft.choices,
        answer_index=draft.answer_index,
        reference=draft.reference if source.use is Use.BENCHMARK else "",
        category=draft.category,
    )


def _text(time: DraftSpan, resolved: TimeSpan) -> str:
    return temporal.token(resolved.start_bin) if time.end is None else temporal.write(resolved)


def _track(track: DraftTrack, video: VideoRef, clock: Clock) -> MaskTrack:
    timed = [(clock.frame(time_s), forms) for time_s, forms in track.timed]
    entries = sorted((*track.masks, *timed), key=lambda entry: entry[0])
    frames = tuple(frame for frame, _ in entries)
    if len(set(frames)) != len(frames):
        raise RejectError(Reason.BAD_MASK, "a frame is annotated twice")
    counts = tuple(_mask(frame, forms, video) for frame, forms in entries)
    return MaskTrack(height=video.height, width=video.width, frames=frames, counts=counts)


def _mask(frame: int, forms: Sequence[Any], video: VideoRef) -> str:
    height, width = video.height, video.width
    for form in forms:
        size = form.get("size") if isinstance(form, dict) else None
        if size is not None and size != [height, width]:
            raise RejectError(Reason.MASK_SIZE, f"frame {frame}: mask {size}, video [{height}, {width}]")
    try:
        counts = [masks.from_source(form, height, width) for form in forms]
        return counts[0] if len(counts) == 1 else masks.union(counts, height, width)
    except (ArithmeticError, ValueError, TypeError, IndexError) as error:
        raise RejectError(Reason.BAD_MASK, f"frame {frame}: {error}") from error


def _one_frame(regions: list[MaskTrack], draft: Draft, seed: int) -> list[MaskTrack]:
    """One frame of each region: the one that the record names, else one with all regions, else its own.

    Only frames in which a region has a pixel are chosen; a region without any is left to validation.
    """
    shown = [
        [f for f, c in zip(r.frames, r.counts, strict=True) if masks.area(c, r.height, r.width)]
        for r in regions
    ]
    common = [f for f in shown[0] if all(f in frames for frames in shown)] if shown else []
    out = []
    for number, (region, frames) in enumerate(zip(regions, shown, strict=True)):
        if draft.region_frame in frames:
            frame = draft.region_frame
        elif common:
            frame = common[draw("region frame", seed, draft.key) % len(common)]
        elif frames:
            frame = frames[draw("region frame", seed, draft.key, number) % len(frames)]
        else:
            frame = region.frames[0]
        at = region.frames.index(frame)
        out.append(
            MaskTrack(height=region.height, width=region.width, frames=(frame,), counts=(region.counts[at],))
        )
    return out
