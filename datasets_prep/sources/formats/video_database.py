"""YouCook2 and COIN: steps of instruction videos.

* YouCook2's and COIN's own: ``{"database": {video: {"subset", "recipe_type", "annotations" or "annotation":
  [{"segment": [start, end], "sentence" or "label"}]}}}`` (http://youcook2.eecs.umich.edu,
  https://coin-dataset.github.io). Times are seconds of the video, also where COIN has a ``start``.
* YouCook2 in COCO form, as TimeChat and DisTime publish it: ``{"annotations": [{"image_id", "caption":
  "<time_token_22> <time_token_28> pick the ends off ...", "segments": [[47, 60], ...]}]}``. The seconds are
  kept; the tokens, which are coarser and rounded down, only separate the captions.

A file holds training, validation and test videos, so a plan names the ``split``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import Media, Reason, RejectError
from datasets_prep.sources.bases.events import Event, seconds, video_called
from datasets_prep.sources.bases.fields import expression_of, mapping, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.timed_videos import TimedEvents
from datasets_prep.sources.json.json_object import Member, elements, members
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Task

_TIMES = re.compile(r"(?:<time_token_\d+>\s*){2}")


class VideoDatabase(TimedEvents):
    """One event per step."""

    def entries(self, path: Path) -> Iterator[Member]:
        """Videos of the database, or rows of the COCO form."""
        names = {member.name for member in members(path)}
        if "database" in names:
            yield from members(path, "database")
        elif "annotations" in names:
            for index, (start, end) in enumerate(elements(path, "annotations")):
                yield Member(name=str(index), start=start, end=end)
        else:
            raise UserError(
                str(path), "has neither `database` nor `annotations`.", "Check that this is YouCook2 or COIN."
            )

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """A row of the COCO form names its video itself."""
        entry = mapping(value)
        return [(name, text_field(entry, "image_id") if "image_id" in entry else name, entry)]

    def subset(self, entry: Mapping[str, Any]) -> str | None:
        """``training``, ``validation`` or ``testing``."""
        return str(entry["subset"]) if entry.get("subset") is not None else None

    def category(self, entry: Mapping[str, Any]) -> str:
        """COIN's task, as ``ReplaceCDDriveWithSSD``."""
        return str(entry.get("class", ""))

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """Pairs of a segment and its text."""
        if "image_id" in entry:
            segments, before, texts = entry.get("segments"), *_captions(text_field(entry, "caption"))
            if before or not isinstance(segments, list) or len(segments) != len(texts):
                raise RejectError(
                    Reason.MALFORMED, "`caption` and `segments` differ in their number of steps"
                )
            return {str(n): pair for n, pair in enumerate(zip(segments, texts, strict=True))}
        steps = entry["annotation"] if "annotation" in entry else entry.get("annotations")
        if not isinstance(steps, list):
            raise RejectError(Reason.MALFORMED, "`annotations` is not a list of steps")
        return {str(n): step for n, step in enumerate(steps)}

    def event(self, written: Any) -> Event:
        """A step; its ``sentence`` in YouCook2, its ``label`` in COIN."""
        if isinstance(written, tuple):
            segment, text = written
        else:
            step = mapping(written)
            segment, text = (
                step.get("segment"),
                step["sentence"] if "sentence" in step else step.get("label"),
            )
        return Event(text=expression_of(text, "sentence or label"), spans=(seconds(segment, "segment"),))

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """By itself, or below the folders of its recipe or task, and of its subset."""
        kind = str(entry["recipe_type"]) if entry.get("recipe_type") is not None else ""
        subset = self.subset(entry)
        return video_called(
            (video,), kind, f"videos/{kind}" if kind else "", f"{subset}/{kind}" if subset else ""
        )


def _captions(text: str) -> tuple[str, list[str]]:
    """The text before the first time, and the texts after each."""
    before, *texts = _TIMES.split(text)
    return before.strip(), texts


_READER = VideoDatabase()
_OPTIONS = ("keep_videos", "drop_videos", "split")
_TASKS = (TemporalTask.DENSE_CAPTIONS, TemporalTask.GROUNDING, TemporalTask.REFERRING)

YOUCOOK2 = Format(
    name="youcook2",
    about='YouCook2: {"database": ...}, or the COCO form',
    tasks=(Task.TEMPORAL,),
    reader=_READER,
    options=_OPTIONS,
    temporal_tasks=_TASKS,
)

COIN = Format(
    name="coin",
    about='COIN: {"database": ...}',
    tasks=(Task.TEMPORAL,),
    reader=_READER,
    options=_OPTIONS,
    temporal_tasks=_TASKS,
)
