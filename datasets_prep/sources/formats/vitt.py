"""ViTT: what happens in instruction videos, by the time at which it starts.

Format: https://github.com/google-research-datasets/Video-Timeline-Tags-ViTT, ``{"id", "annotations":
[{"timestamp", "tag"}]}`` as a list or as JSON lines, in milliseconds. Only starts are annotated: an event
ends where the next later one starts, the last with the video. Several annotators' rows may share an id.

Ids are YouTube-8M's, of four letters; they have to be mapped to YouTube's to download the videos. Name the
files after YouTube-8M's. ``keep_videos`` takes the published train_id.txt, dev_id.txt or test_id.txt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import OPEN, DraftSpan, Media, Reason, RejectError, Unit
from datasets_prep.sources.bases.events import Event, video_called
from datasets_prep.sources.bases.fields import expression_of, mapping, number, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.timed_videos import TimedEvents, rows
from datasets_prep.sources.json.json_object import Member
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Task


class ViTT(TimedEvents):
    """One event per tag."""

    suffixes = (".json", ".jsonl")

    def entries(self, path: Path) -> Iterator[Member]:
        """Rows, of a list or of JSON lines."""
        return rows(path)

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """A row names its video itself."""
        entry = mapping(value)
        return [(name, text_field(entry, "id"), entry)]

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """Start, end and tag. An end is in milliseconds, or OPEN."""
        tags = entry.get("annotations")
        if not isinstance(tags, list):
            raise RejectError(Reason.MALFORMED, "`annotations` is not a list of tags")
        starts = [number(mapping(tag).get("timestamp"), "timestamp") for tag in tags]
        ends = [min((s for s in starts if s > start), default=OPEN) for start in starts]
        return {
            str(n): (start, end, tag.get("tag"))
            for n, (start, end, tag) in enumerate(zip(starts, ends, tags, strict=True))
        }

    def event(self, written: Any) -> Event:
        """Milliseconds to seconds."""
        start, end, tag = written
        span = DraftSpan(start=start / 1000, end=end / 1000, unit=Unit.SECONDS)
        return Event(text=expression_of(tag, "tag"), spans=(span,))

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """By the id of the row."""
        return video_called((video,))


FORMAT = Format(
    name="vitt",
    about="ViTT: starts in milliseconds",
    tasks=(Task.TEMPORAL,),
    reader=ViTT(),
    options=("keep_videos", "drop_videos"),
    temporal_tasks=(
        TemporalTask.DENSE_CAPTIONS,
        TemporalTask.GROUNDING,
        TemporalTask.REFERRING,
    ),
)
