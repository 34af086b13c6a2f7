"""Makes samples of events with times: when does it happen, what happens when, what happens during a time.

The native files of temporal sets hold texts and times, but no questions. The questions here are this
project's; a plan may give its own. A sample's question is drawn by (seed, key).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Media, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.fields import media_of, number
from datasets_prep.sources.bases.segmentation_text import fill, pick
from pipeline.plan.data import SourceConfig, Use
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Role, Task

QUESTIONS = {
    TemporalTask.GROUNDING: (
        "When does '{expression}' happen in the video? Give only its start and end.",
        "Find the part of the video that shows this: {expression}. Answer with its start and end.",
        "From when to when can the following be seen? {expression}",
        "At what time in the video does this take place: {expression}?",
    ),
    TemporalTask.DENSE_CAPTIONS: (
        "What happens in the video, and when? Give each event a line with its start, end and description.",
        "Go through the video and describe each event with its time.",
        "Divide the video into its events. Say for each of them when it starts and ends and what is seen.",
    ),
    TemporalTask.REFERRING: (
        "What happens in the video during {span}?",
        "Describe what can be seen in {span}.",
        "What does the part {span} of the video show?",
    ),
}
ANSWERS = {
    TemporalTask.GROUNDING: ("{span}",),
    TemporalTask.DENSE_CAPTIONS: ("{span} {expression}",),
    TemporalTask.REFERRING: ("{expression}",),
}
_ENDINGS = (".mp4", ".mkv", ".webm")
_ENDED = re.compile(r"(?<=[^/])\.(?:mp4|mkv|webm|avi|mov)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What happens, and when: once or several times. Without spans the ground truth is hidden."""

    text: str
    spans: tuple[DraftSpan, ...]
    kind: str = ""  # for ``keep_types``


def seconds(pair: Any, name: str) -> DraftSpan:
    """A start and an end in seconds. Raises RejectError for anything else."""
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise RejectError(Reason.MALFORMED, f"`{name}` {pair!r} is not a pair of times")
    return DraftSpan(start=number(pair[0], name), end=number(pair[1], name), unit=Unit.SECONDS)


def video_called(names: Iterable[str], *folders: str) -> Media:
    """A video for which the source gives no ending, or that of another copy.

    Every name is tried as written, with other video endings, and without an ending, first by itself and then
    below each of ``folders``.
    """
    found: list[str] = []
    for path in (path for name in names for path in media_of(name).candidates):
        stem = _ENDED.sub("", path)
        found += [path] if stem != path else []
        found += [*(stem + ending for ending in _ENDINGS), stem]
    return Media(
        candidates=tuple(dict.fromkeys([*found, *(f"{f}/{p}" for f in folders if f for p in found)]))
    )


def in_time_order(spans: Iterable[DraftSpan]) -> list[DraftSpan]:
    """By start, then by end."""
    return sorted(spans, key=lambda span: (span.start, span.end or 0.0))


def ask(
    key: str,
    source: SourceConfig,
    seed: int,
    events: Sequence[Event],
    *,
    media: Media,
    clip: DraftSpan | None = None,
    category: str = "",
    duration_s: float | None = None,
) -> Draft:
    """The sample about events of a video: a single one, except for dense captions.

    The answer has all spans of an event, in the order of time. Raises RejectError for an event without a
    span, except in a grounding benchmark whose ground truth is hidden.
    """
    task = source.asks
    assert task is not None, "this format has no timed events"
    assert task is TemporalTask.DENSE_CAPTIONS or len(events) == 1, "one question, one event"
    times: list[DraftSpan] = []
    lines = []
    for event in sorted(events, key=_first):
        marks = []
        for span in in_time_order(event.spans):
            marks.append(time_mark(len(times)))
            times.append(span)
        lines.append({"span": ", ".join(marks), "expression": event.text})
    hidden = not all(event.spans for event in events)
    if hidden and (source.use is not Use.BENCHMARK or task is not TemporalTask.GROUNDING):
        raise RejectError(Reason.MALFORMED, "the event has no span")
    question = pick(source.question_templates or QUESTIONS[task], seed, key, "question")
    answer = pick(source.answer_templates or ANSWERS[task], seed, key, "answer")
    if task is not TemporalTask.DENSE_CAPTIONS:
        # A sentence within a question has no full stop.
        expression = lines[0]["expression"].removesuffix(".")
        question = fill(question, span=lines[0]["span"], expression=expression)
    turns = [DraftTurn(role=Role.USER, text=question)]
    if not hidden:
        turns.append(DraftTurn(role=Role.ASSISTANT, text="\n".join(fill(answer, **line) for line in lines)))
    return Draft(
        key=key,
        task=Task.TEMPORAL,
        media=media,
        turns=tuple(turns),
        times=tuple(times),
        clip=clip,
        expression=events[0].text if len(events) == 1 else "",
        category=category,
        type=(events[0].kind if len(events) == 1 else "") or category,
        duration_s=duration_s,
    )


def _first(event: Event) -> tuple[float, float]:
    return min(((s.start, s.end or 0.0) for s in event.spans), default=(0.0, 0.0))
