"""The times in a model's answer, read by the project's one parser, and why none could be read.

The clock of an answer is that of its prompt: seconds, clock times and frame numbers count from the start of
what the model was shown, fractions and bins are parts of it. A model sees a clip and not where it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.records.sample import Sample, TimeSpan
from pipeline.times.frame_times import FrameTimes, frame_times
from pipeline.times.parser import Failure, Form, ParsedSpan, Refusal, Times, parse
from pipeline.times.temporal import Outside


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanRules:
    """What the plan decided about answers whose text leaves it open; see ``BenchmarkConfig``."""

    bare: Form | None = None
    outside: Outside = Outside.REFUSE


class AnswerSpans(NamedTuple):
    """The spans of an answer up to the first that cannot be read, in seconds of the whole video.

    ``refusal`` is the ``Refusal`` that explains why there is no first one, or empty.
    ``clamped``: the first one reached out of what was shown and was cut at its end.
    """

    spans: tuple[TimeSpan, ...] = ()
    refusal: str = ""
    detail: str = ""
    clamped: bool = False


DEFAULT_RULES = SpanRules()


def read_spans(text: str, sample: Sample, rules: SpanRules = DEFAULT_RULES) -> AnswerSpans:
    """Read a text as an answer about a sample's video, or its clip. No text raises an error."""
    start_s, length_s = shown_part(sample)
    read = _parse(text, length_s, rules, None)
    if isinstance(read, Failure) and read.reason is Refusal.NO_FRAMES:
        read = _parse(text, length_s, rules, _frames(sample))
    parsed = _in_front(read)
    if not parsed:
        assert isinstance(read, Failure), "without a span the parser says why"
        return AnswerSpans(refusal=str(read.reason), detail=read.detail)
    spans = tuple([one.span(length_s, clip_start_s=start_s) for one in parsed])
    return AnswerSpans(spans=spans, clamped=parsed[0].clamped)


def _parse(text: str, length_s: float, rules: SpanRules, frames: FrameTimes | None) -> Times | Failure:
    return parse(text, duration_s=length_s, frames=frames, bare=rules.bare, outside=rules.outside)


def _in_front(read: Times | Failure) -> tuple[ParsedSpan, ...]:
    """The spans before the first that cannot be read: those after it may not answer the question."""
    if isinstance(read, Times):
        return read.spans
    begins = read.place[0] if read.place else 0
    return tuple(one for one in read.rest if not one.instant and one.place[0] < begins)


def shown_part(sample: Sample) -> tuple[float, float]:
    """Where in the video it begins, and how long it lasts."""
    if sample.clip is None:
        return 0.0, sample.video.duration_s
    return sample.clip.start_s, sample.clip.end_s - sample.clip.start_s


def _frames(sample: Sample) -> FrameTimes:
    times = frame_times(sample.video)
    return times if sample.clip is None else times.part(sample.clip.start_s, sample.clip.end_s)
