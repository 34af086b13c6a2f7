"""ActivityNet Captions: ``{video: {"duration", "timestamps", "sentences"}}``.

Format: https://cs.stanford.edu/people/ranjaykrishna/densevid. The two lists are parallel; times are seconds.
Two thirds of the sentences begin or end with a blank. Videos are mp4, mkv or webm files, with or without
``v_`` before the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets_prep.draft import Media, Reason, RejectError
from datasets_prep.sources.bases.events import Event, seconds, video_called
from datasets_prep.sources.bases.fields import expression_of
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.timed_videos import TimedEvents
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Task


class ActivitynetCaptions(TimedEvents):
    """One event per sentence."""

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """Pairs of a time and a sentence."""
        times, sentences = entry.get("timestamps"), entry.get("sentences")
        if not isinstance(times, list) or not isinstance(sentences, list) or len(times) != len(sentences):
            raise RejectError(Reason.MALFORMED, "`timestamps` and `sentences` are not lists of one length")
        return {str(n): pair for n, pair in enumerate(zip(times, sentences, strict=True))}

    def event(self, written: Any) -> Event:
        """The sentence without the blanks around it."""
        time, sentence = written
        return Event(text=expression_of(sentence, "sentences"), spans=(seconds(time, "timestamps"),))

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """With and without ``v_``."""
        return activitynet_video(video)


def activitynet_video(video: str) -> Media:
    """A video of ActivityNet, whose name may or may not begin with ``v_``."""
    bare = video.removeprefix("v_")
    return video_called((video, bare if bare != video else f"v_{video}"))


FORMAT = Format(
    name="activitynet_captions",
    about="ActivityNet Captions: {video: {timestamps, sentences}}",
    tasks=(Task.TEMPORAL,),
    reader=ActivitynetCaptions(),
    options=("keep_videos", "drop_videos"),
    temporal_tasks=(
        TemporalTask.GROUNDING,
        TemporalTask.DENSE_CAPTIONS,
        TemporalTask.REFERRING,
    ),
)
