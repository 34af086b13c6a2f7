"""VTimeLLM: ``<s0>`` and ``<e0>`` in the text, their seconds in ``meta.token``.

Format: https://github.com/huangb23/VTimeLLM, JSON lists of ``{"source", "id", "conversations", "meta":
{"split": [start, end], "duration", "token": {"<s0>": 12.5, ...}}}``. With ``split`` only that part of the
video is shown, and the seconds of ``token`` count from its start. Some 20k rows (VideoChatGPT's) have neither
times nor ``meta``. ``start`` and ``end`` bound the clip of a row without times; beside ``token`` they do not
say where its seconds begin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Media, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.conversation import turns_of
from datasets_prep.sources.bases.events import seconds, video_called
from datasets_prep.sources.bases.fields import (
    claimed_duration,
    clip_of,
    mapping,
    number,
    refuse_clip,
    text_field,
)
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

# A start and the end of the same number, with one word or sign between them; else any of them alone.
_TOKEN = re.compile(r"<s(\d+)>\s*(?:to|and|until|till|-|–|,)?\s*<e\1>|<([se]\d+)>")


class VTimeLlm(ListReader):
    """One draft per row."""

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """A file named after the row's id."""
        return (_media(mapping(record.raw)),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """``<s0> to <e0>`` becomes a span, a lone token an instant."""
        raw = mapping(record.raw)
        turns = turns_of(raw)
        meta = raw.get("meta") or {}
        if not isinstance(meta, Mapping) or not isinstance(meta.get("token") or {}, Mapping):
            raise RejectError(Reason.MALFORMED, "`meta` or `meta.token` is not an object")
        if meta.get("split") is not None:
            refuse_clip(raw, "`meta.split` names the clip already")
            clip = seconds(meta["split"], "meta.split")
        elif meta.get("token"):
            refuse_clip(raw, "`meta.token` has times, so the clip was expected in `meta.split`")
            clip = None
        else:
            clip = clip_of(raw)
        filled, times = _fill(turns, meta.get("token") or {}, clip.start if clip else 0.0)
        origin = str(raw.get("source", ""))
        return [
            Draft(
                key=record.key,
                task=Task.TEMPORAL if times else Task.QA,
                media=_media(raw),
                turns=filled,
                times=times,
                clip=clip,
                category=origin,
                type=origin,
                duration_s=claimed_duration(meta) if clip is None else None,
            )
        ]


def _fill(
    turns: tuple[DraftTurn, ...], values: Mapping[str, Any], start_s: float
) -> tuple[tuple[DraftTurn, ...], tuple[DraftSpan, ...]]:
    times: list[DraftSpan] = []

    def value(name: str) -> float:
        if f"<{name}>" not in values:
            raise RejectError(Reason.PLACEHOLDERS, f"<{name}> is in the text, but not in `meta.token`")
        return start_s + number(values[f"<{name}>"], "meta.token")

    def fill(found: re.Match[str]) -> str:
        pair, lone = found.groups()
        start = value(lone if pair is None else f"s{pair}")
        end = None if pair is None else value(f"e{pair}")
        times.append(DraftSpan(start=start, end=end, unit=Unit.SECONDS))
        return time_mark(len(times) - 1)

    changed = tuple(DraftTurn(role=t.role, text=_TOKEN.sub(fill, t.text)) for t in turns)
    return changed, tuple(times)


def _media(raw: Mapping[str, Any]) -> Media:
    return video_called((text_field(raw, "id"),), str(raw.get("source", "")))


FORMAT = Format(
    name="vtimellm",
    about="VTimeLLM: <s0>, <e0> in the text, their seconds in meta.token",
    tasks=(Task.QA, Task.TEMPORAL),
    reader=VTimeLlm(),
)
