"""QVHighlights: queries with all the windows of a video that show them.

Format: https://github.com/jayleicn/moment_detr, JSON lines of ``{"qid", "query", "duration", "vid",
"relevant_windows": [[start, end], ...], "relevant_clip_ids", "saliency_scores"}``, seconds in steps of two;
or the same as a list with ``video`` for ``vid``, as DisTime publishes it. A third of the queries have several
windows; the answer has all of them, because one alone would be incomplete. Saliency is not read. A sample is
named by its ``qid``, as submissions name it.

The test rows have no windows, so they can only be a benchmark's questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import Media, Reason, RejectError
from datasets_prep.sources.bases.events import Event, seconds, video_called
from datasets_prep.sources.bases.fields import expression_of, mapping, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.timed_videos import TimedEvents, rows
from datasets_prep.sources.json.json_object import Member
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Task


class QvHighlights(TimedEvents):
    """One event per query, with one or more spans."""

    suffixes = (".json", ".jsonl")

    def entries(self, path: Path) -> Iterator[Member]:
        """Rows, also of a file that begins with an object: it is JSON lines."""
        return rows(path)

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """A row names its video and itself; a row without a ``qid`` is named by its number."""
        entry = mapping(value)
        name = str(entry.get("qid", name))
        return [(name, text_field(entry, "vid" if "vid" in entry else "video"), entry)]

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """The row is its event."""
        return {"": entry}

    def event(self, written: Any) -> Event:
        """A query without windows has a hidden ground truth."""
        windows = written.get("relevant_windows") or []
        if not isinstance(windows, list):
            raise RejectError(Reason.MALFORMED, "`relevant_windows` is not a list")
        spans = tuple(seconds(window, "relevant_windows") for window in windows)
        return Event(text=expression_of(written.get("query"), "query"), spans=spans)

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """``<id>_<start>_<end>``: the name contains dots but has no ending."""
        return video_called((video,))


FORMAT = Format(
    name="qvhighlights",
    about="QVHighlights: several windows per query",
    tasks=(Task.TEMPORAL,),
    reader=QvHighlights(),
    temporal_tasks=(
        TemporalTask.GROUNDING,
        TemporalTask.REFERRING,
    ),
)
