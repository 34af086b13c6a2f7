"""HiREST: how-to videos for a query, the part that answers it, and its steps.

Format: https://github.com/j-min/HiREST, ``{query: {"<id>.mp4": {"relevant", "clip", "v_duration", "bounds",
"steps": [{"heading", "absolute_bounds"}]}}}``, whole seconds of the video. Where ``clip`` is false the part
was not annotated (``bounds`` is [0, 0]), and the test steps are withheld. Steps without length are rejected
one by one.

``keep_types: [step]`` grounds the steps alone, ``[query]`` the queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets_prep.draft import Media, Reason, RejectError
from datasets_prep.sources.bases.events import Event, seconds, video_called
from datasets_prep.sources.bases.fields import expression_of, mapping
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.timed_videos import TimedEvents
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Task


class HiRest(TimedEvents):
    """The query is an event, and so is each step; dense captions are made of the steps."""

    duration = "v_duration"

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Every video of a query, keyed ``<query>/<video>``."""
        return [(f"{name}/{v}", v, {**mapping(e), "query": name}) for v, e in mapping(value).items()]

    def selects(self, entry: Mapping[str, Any], source: SourceConfig) -> bool:
        """Whether the video has an annotated part; for dense captions also steps."""
        return bool(entry.get("clip")) and (
            source.asks is not TemporalTask.DENSE_CAPTIONS or bool(entry.get("steps"))
        )

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """The query's part as ``query``, the steps by number."""
        steps = entry.get("steps")
        if not isinstance(steps, list):
            raise RejectError(Reason.MALFORMED, "`steps` is not a list")
        numbered = {str(n): step for n, step in enumerate(steps)}
        if source.asks is TemporalTask.DENSE_CAPTIONS:
            return numbered
        return {"query": (entry["query"], entry.get("bounds")), **numbered}

    def event(self, written: Any) -> Event:
        """A query or a step."""
        if isinstance(written, tuple):
            text, bounds = written
            return Event(text=expression_of(text, "query"), spans=(seconds(bounds, "bounds"),), kind="query")
        step = mapping(written)
        time = seconds(step.get("absolute_bounds"), "absolute_bounds")
        return Event(text=expression_of(step.get("heading"), "heading"), spans=(time,), kind="step")

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """The name that the file gives, or another ending."""
        return video_called((video,))


FORMAT = Format(
    name="hirest",
    about="HiREST: {query: {video: {bounds, steps}}}",
    tasks=(Task.TEMPORAL,),
    reader=HiRest(),
    options=("keep_videos", "drop_videos"),
    temporal_tasks=(
        TemporalTask.GROUNDING,
        TemporalTask.DENSE_CAPTIONS,
        TemporalTask.REFERRING,
    ),
)
