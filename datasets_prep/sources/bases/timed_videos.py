"""Base of the formats of timed events: videos, each with its events.

A file is cut at the positions of its videos and never loaded whole. A sample is one event, or for dense
captions one video with all its events; so a bad event does not affect others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, Media, Reason, RejectError
from datasets_prep.sources.bases.events import Event, ask
from datasets_prep.sources.bases.fields import claimed_duration, mapping
from datasets_prep.sources.bases.grouped_chunks import Group, pack, places
from datasets_prep.sources.bases.reader import WHOLE, Files, Record, record_key
from datasets_prep.sources.bases.video_lists import VideoFilter
from datasets_prep.sources.json.json_file import Chunk, Limits, list_chunks
from datasets_prep.sources.json.json_object import Member, members, root_is_object
from datasets_prep.sources.json.opening import open_annotations
from datasets_prep.sources.json.parse import load_value
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask

_ONE_BY_ONE = Limits(records=1, bytes=1 << 60)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedRecord:
    """The raw data of one sample: the video's name and entry, and one or all of its events as written."""

    video: str
    entry: Mapping[str, Any]
    events: tuple[Any, ...]


class TimedVideos(ABC):
    """Base of these formats. A reader implements ``events``, ``media_for`` and ``convert``."""

    suffixes: tuple[str, ...] = (".json",)

    @abstractmethod
    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """The events of a video as written, by the part of the key that names each."""

    @abstractmethod
    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """Where a video may be."""

    def entries(self, path: Path) -> Iterator[Member]:
        """The positions of a file's entries; their names become parts of keys."""
        return members(path) if root_is_object(path) else rows(path)

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Part of the key, name and entry of each video in an entry, which usually has one."""
        return [(name, name, mapping(value))]

    def subset(self, entry: Mapping[str, Any]) -> str | None:
        """The split that a video belongs to, in files that hold several."""
        return None

    def selects(self, entry: Mapping[str, Any], source: SourceConfig) -> bool:
        """Whether a video belongs to the selected split; others count as not selected."""
        return source.split is None or self.subset(entry) == source.split

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Videos with all their events."""
        return pack(self._groups(source, files), limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Samples in file order."""
        videos = VideoFilter(source, files)
        for part in [chunk] if chunk else self.chunks(source, files, WHOLE):
            with open_annotations(files.annotations) as file:
                for name, again, start, end in places(part):
                    yield from self._records(source, files, videos, name, again, load_value(file, start, end))

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The record's video; none if the record is rejected."""
        raw = record.raw
        return (self.media_for(raw.video, raw.entry),) if isinstance(raw, TimedRecord) else ()

    @abstractmethod
    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Drafts of one record. Raises RejectError."""

    def _groups(self, source: SourceConfig, files: Files) -> Iterator[Group]:
        videos = VideoFilter(source, files)
        seen: Counter[str] = Counter()
        subsets: set[str] = set()
        with open_annotations(files.annotations) as file:
            for member in self.entries(files.annotations):
                value = load_value(file, member.start, member.end)
                again = seen[member.name]
                seen[member.name] += 1
                found = self._records(source, files, videos, member.name, again, value)
                if isinstance(value, dict) and (subset := self.subset(value)) is not None:
                    subsets.add(subset)
                place = (member.name, again, member.start, member.end)
                yield Group(place=place, count=len(found), size=member.end - member.start)
        videos.check_used()
        _check_split(source, files, subsets)

    def _records(
        self, source: SourceConfig, files: Files, videos: VideoFilter, name: str, again: int, value: Any
    ) -> list[Record]:
        key = record_key(source, files, name)
        if again:
            error = RejectError(Reason.DUPLICATE_KEY, f"{name} came before in this file")
            return [Record(key=f"{key}/again{again}", raw=error)]
        try:
            found = self.videos(name, value)
        except RejectError as error:
            return [Record(key=key, raw=error)]
        if not found:
            return [Record(key=key, raw=RejectError(Reason.MALFORMED, "the entry has no video"))]
        return [
            r
            for part, video, entry in found
            for r in self._of_video(source, files, videos, part, video, entry)
        ]

    def _of_video(
        self,
        source: SourceConfig,
        files: Files,
        videos: VideoFilter,
        part: str,
        video: str,
        entry: Mapping[str, Any],
    ) -> list[Record]:
        key = record_key(source, files, part)
        selected = videos.wants(video) and self.selects(entry, source)
        events: Mapping[str, Any] = {}
        problem = RejectError(Reason.MALFORMED, "the video has no event")
        try:
            events = self.events(entry, source)
        except RejectError as error:
            problem = error
        if not events:
            return [Record(key=key, raw=problem if selected else None, left_out=not selected)]
        whole = {key: tuple(events.values())}
        each = {f"{key}/{n}" if n else key: (event,) for n, event in events.items()}
        return [
            Record(
                key=k,
                raw=TimedRecord(video=video, entry=entry, events=e) if selected else None,
                left_out=not selected,
            )
            for k, e in (whole if source.asks is TemporalTask.DENSE_CAPTIONS else each).items()
        ]


class TimedEvents(TimedVideos):
    """Base of those whose questions this project writes. A reader implements ``event``."""

    duration = "duration"  # the field of an entry with the length of its video

    @abstractmethod
    def event(self, written: Any) -> Event:
        """The event that one of ``events`` describes. Raises RejectError."""

    def category(self, entry: Mapping[str, Any]) -> str:
        """The source's own category of a video."""
        return ""

    def clip(self, entry: Mapping[str, Any]) -> DraftSpan | None:
        """The part of the video that the annotators saw; None for all of it."""
        return None

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """One draft."""
        raw = record.raw
        if isinstance(raw, RejectError):
            raise raw
        return [
            ask(
                record.key,
                source,
                seed,
                [self.event(written) for written in raw.events],
                media=self.media_for(raw.video, raw.entry),
                clip=self.clip(raw.entry),
                category=self.category(raw.entry),
                duration_s=claimed_duration(raw.entry, self.duration),
            )
        ]


def rows(path: Path) -> Iterator[Member]:
    """The positions of the rows of a JSON array or of JSON lines, named by their number."""
    for chunk in list_chunks(path, _ONE_BY_ONE):
        yield Member(name=str(chunk.first), start=chunk.start, end=chunk.end)


def _check_split(source: SourceConfig, files: Files, subsets: set[str]) -> None:
    there = ", ".join(sorted(subsets))
    if source.split is None and len(subsets) > 1:
        raise UserError(
            f"source {source.name}",
            f"{files.annotations.name} holds videos of several splits ({there}), which would be mixed.",
            "Set `split` to one of them.",
        )
    if source.split is not None and source.split not in subsets and not files.name:
        raise UserError(
            f"source {source.name}",
            f"{files.annotations.name} has no video of the split {source.split}, but {there or 'no splits'}.",
            "Correct `split`.",
        )
