"""One stored answer of a model: everything that scoring reads besides the dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.records.sample import MaskTrack, TimeSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One answer. ``failure`` says why there is none, or None: a wrong answer is not a failure.

    ``spans`` are those of the text up to the first that cannot be read. ``refusal`` is why there is none,
    ``refusal_detail`` the piece of the text at fault; whether one was asked for is for the scorer to say.
    ``clamped``: the first span was cut at the ends of what was shown, as the plan allows. ``masks[k]``
    belongs to the k-th [SEG] of the text and covers the frames that the sample's targets list.
    """

    key: str
    source: str
    checkpoint: str  # digest of the checkpoint artifact
    text: str = ""
    spans: tuple[TimeSpan, ...] = ()
    refusal: str = ""
    refusal_detail: str = ""
    clamped: bool = False
    masks: tuple[MaskTrack, ...] = ()
    failure: str | None = None
    seconds: float = field(default=0.0, compare=False)  # of computing; not compared, not in digests
