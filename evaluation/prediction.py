"""One answer of a model, as it is stored and as it is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from evaluation.spans import SpanRules, read_spans
from pipeline.records.sample import MaskTrack, Sample, TimeSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A sample that was not asked because its video cannot be read; this is not a failure of the model."""

    key: str
    source: str
    video: str  # path below the source's media root
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One answer. ``failure`` says why the model gave none, or None: a wrong answer is not a failure.

    ``masks[k]`` belongs to the k-th [SEG] of the text and covers the frames that the sample's targets list.
    The other fields are not stored, but read from the text before it is scored (``with_times``): ``spans``
    are those up to the first that cannot be read, ``refusal`` is why there is none and ``refusal_detail``
    the piece of the text at fault; the scorer decides whether a time was asked for. ``clamped``: the
    first span was cut at the ends of what was shown, as the plan allows. ``confidences`` has one for each
    span where other code gives them; a text has none.
    """

    key: str
    source: str
    text: str = ""
    masks: tuple[MaskTrack, ...] = ()
    failure: str | None = None
    spans: tuple[TimeSpan, ...] = ()
    refusal: str = ""
    refusal_detail: str = ""
    clamped: bool = False
    confidences: tuple[float, ...] = ()

    def with_times(self, sample: Sample, rules: SpanRules) -> Self:
        """The prediction with the times in its text. Without an answer there are no times and no refusal."""
        if self.failure is not None:
            return self
        read = read_spans(self.text, sample, rules)
        return type(self)(
            key=self.key,
            source=self.source,
            text=self.text,
            masks=self.masks,
            failure=self.failure,
            spans=read.spans,
            refusal=read.refusal,
            refusal_detail=read.detail,
            clamped=read.clamped,
        )
