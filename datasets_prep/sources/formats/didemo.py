"""DiDeMo: sentences about five-second pieces of the first half minute of Flickr videos.

Format: https://github.com/LisaAnne/LocalizingMoments, a list of ``{"video", "description", "num_segments",
"times": [[first, last], ...]}``: pieces counted from 0, both included, one pair per annotator, of whom there
are at least four.

Users of the set choose which pair is the ground truth. Here it is the one that agrees best with all: the pair
with the largest sum of IoUs with every pair, of equals the earliest. So a majority wins, and unlike in an
average of times an outlier has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets_prep.draft import DraftSpan, Media, Reason, RejectError, Unit
from datasets_prep.sources.bases.events import Event, video_called
from datasets_prep.sources.bases.fields import expression_of, mapping, text_field, whole
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.timed_videos import TimedEvents
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Task

_PIECES = 6  # that annotators saw at most: longer videos were cut to 30 s


class DiDeMo(TimedEvents):
    """One event per row."""

    suffixes = (".json", ".jsonl")

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """A row names its video itself."""
        entry = mapping(value)
        return [(name, text_field(entry, "video"), entry)]

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """The row is its event."""
        return {"": entry}

    def clip(self, entry: Mapping[str, Any]) -> DraftSpan | None:
        """The first half minute: the rest was not annotated, and the event may happen again there."""
        return DraftSpan(start=0, end=_PIECES - 1, unit=Unit.CHUNKS)

    def event(self, written: Any) -> Event:
        """The pieces on which annotators agree best; the last piece ends with the video."""
        times, pieces = written.get("times"), written.get("num_segments")
        if not isinstance(times, list) or not times:
            raise RejectError(Reason.MALFORMED, "`times` is not a list of pieces")
        pairs = [_pair(t, whole(pieces, "num_segments")) for t in times]
        first, last = majority_pair(pairs)
        span = DraftSpan(start=first, end=last, unit=Unit.CHUNKS)
        return Event(text=expression_of(written.get("description"), "description"), spans=(span,))

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """As named, or with another ending: Flickr's vary, and some are only a dot."""
        stem, dot, _ = video.rpartition(".")
        return video_called((video, stem) if dot and stem else (video,))


def majority_pair(pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The pair with the largest sum of IoUs with all pairs, of equals the earliest, of those the shortest."""

    def others(one: tuple[int, int]) -> float:
        return sum(_iou(one, other) for other in pairs)

    # Rounded, because sums of the same fractions in another order differ in their last digits.
    return min(pairs, key=lambda one: (-round(others(one), 9), one))


def _iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    both = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return both / ((a[1] - a[0] + 1) + (b[1] - b[0] + 1) - both)


def _pair(time: Any, pieces: int) -> tuple[int, int]:
    if not isinstance(time, list) or len(time) != 2:
        raise RejectError(Reason.MALFORMED, f"`times` holds {time!r}, a first and a last piece were expected")
    first, last = whole(time[0], "times"), whole(time[1], "times")
    if first > last:
        raise RejectError(Reason.SPAN_REVERSED, f"pieces {first} to {last}")
    if first < 0 or last >= pieces:
        raise RejectError(Reason.SPAN_OUTSIDE, f"pieces {first} to {last} of {pieces}")
    return first, last


FORMAT = Format(
    name="didemo",
    about="DiDeMo: five-second pieces by several annotators",
    tasks=(Task.TEMPORAL,),
    reader=DiDeMo(),
    temporal_tasks=(
        TemporalTask.GROUNDING,
        TemporalTask.REFERRING,
    ),
)
