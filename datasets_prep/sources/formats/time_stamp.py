"""InternVid-TG and DisTime: ``<TIME_STAMP>`` in the text, its seconds in ``tgt``.

Format: https://huggingface.co/datasets/yingsen/internvid-tg. ``tgt`` is flat: one start and one end per
``<TIME_STAMP>``, in reading order, in seconds of the file, also where ``start`` and ``end`` bound the clip.
"""

from __future__ import annotations

import re

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.conversation import turns_of, video_of
from datasets_prep.sources.bases.fields import claimed_duration, clip_of, mapping, media_of, number
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

_TOKEN = "<TIME_STAMP>"
_BRACED = re.compile(r"\{\s*" + _TOKEN + r"\s*\}|" + _TOKEN)


class TimeStamp(ListReader):
    """One draft per row."""

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Each token becomes one span."""
        raw = mapping(record.raw)
        turns = turns_of(raw)
        listed = raw.get("tgt") or []
        if not isinstance(listed, list):
            raise RejectError(Reason.MALFORMED, "`tgt` is not a list")
        times = [number(t, "tgt") for t in listed]
        tokens = sum(t.text.count(_TOKEN) for t in turns)
        if len(times) != 2 * tokens:
            raise RejectError(
                Reason.PLACEHOLDERS, f"{tokens} {_TOKEN} need {2 * tokens} times, `tgt` has {len(times)}"
            )
        marks = iter(range(tokens))
        clip = clip_of(raw)
        kind = str(raw.get("task", ""))
        return [
            Draft(
                key=record.key,
                task=Task.TEMPORAL if tokens else Task.QA,
                media=media_of(video_of(raw)),
                turns=tuple(
                    DraftTurn(role=t.role, text=_BRACED.sub(lambda _: time_mark(next(marks)), t.text))
                    for t in turns
                ),
                times=tuple(
                    DraftSpan(start=a, end=b, unit=Unit.SECONDS)
                    for a, b in zip(times[::2], times[1::2], strict=True)
                ),
                clip=clip,
                category=kind,
                type=kind,
                duration_s=claimed_duration(raw) if clip is None else None,
            )
        ]


FORMAT = Format(
    name="time_stamp",
    about="InternVid-TG and DisTime: <TIME_STAMP> in the text, its seconds in tgt",
    tasks=(Task.QA, Task.TEMPORAL),
    reader=TimeStamp(),
)
