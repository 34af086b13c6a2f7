"""ActivityNet-RTL (LITA): questions that need reasoning about when something happens.

Format: https://github.com/NVlabs/LITA. Training: ``{"v_<id>": {"duration", "QA": [{"q", "a"}]}}``;
validation: a list of ``{"vid", "duration", "question", "answer"}``, whose ids lack ``v_``. Times are seconds
in the text: the answer begins ``<10.0> <24.5> Because ...``. Training answers without a time are rejected:
they do not answer the question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Media, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.fields import claimed_duration, mapping, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Record
from datasets_prep.sources.bases.timed_videos import TimedVideos
from datasets_prep.sources.formats.activitynet_captions import activitynet_video
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Role, Task

_NUMBER = r"<(\d+(?:\.\d+)?)>"
_TIMES = re.compile(_NUMBER + r"\s*(?:to|and|-|,)?\s*" + _NUMBER + "|" + _NUMBER)


class ActivitynetRtl(TimedVideos):
    """One draft per question."""

    def videos(self, name: str, value: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
        """A row of the list names its video itself."""
        entry = mapping(value)
        return [(name, text_field(entry, "vid") if "vid" in entry else name, entry)]

    def events(self, entry: Mapping[str, Any], source: SourceConfig) -> Mapping[str, Any]:
        """Pairs of a question and an answer."""
        if "vid" in entry:
            return {"": (entry.get("question"), entry.get("answer"))}
        pairs = entry.get("QA")
        if not isinstance(pairs, list):
            raise RejectError(Reason.MALFORMED, "`QA` is not a list of questions")
        return {str(n): (mapping(pair).get("q"), mapping(pair).get("a")) for n, pair in enumerate(pairs)}

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Two adjacent times are a span, a single one is an instant."""
        raw = record.raw
        if isinstance(raw, RejectError):
            raise raw
        question, answer = raw.events[0]
        times: list[DraftSpan] = []

        def mark(found: re.Match[str]) -> str:
            start, end, lone = found.groups()
            span = DraftSpan(start=float(lone or start), end=float(end) if end else None, unit=Unit.SECONDS)
            times.append(span)
            return time_mark(len(times) - 1)

        turns = []
        for role, text in ((Role.USER, question), (Role.ASSISTANT, answer)):
            if not isinstance(text, str) or not text.strip():
                raise RejectError(Reason.MALFORMED, f"the text of the {role} is empty or not text")
            before = len(times)
            turns.append(DraftTurn(role=role, text=_TIMES.sub(mark, text.strip())))
            if role is Role.ASSISTANT and len(times) == before:
                raise RejectError(Reason.PLACEHOLDERS, "the answer holds no time")
        return [
            Draft(
                key=record.key,
                task=Task.TEMPORAL,
                media=self.media_for(raw.video, raw.entry),
                turns=tuple(turns),
                times=tuple(times),
                duration_s=claimed_duration(raw.entry),
            )
        ]

    def media_for(self, video: str, entry: Mapping[str, Any]) -> Media:
        """With and without ``v_``."""
        return activitynet_video(video)


FORMAT = Format(
    name="activitynet_rtl",
    about="ActivityNet-RTL: <12.5>, seconds in the text",
    tasks=(Task.TEMPORAL,),
    reader=ActivitynetRtl(),
)
