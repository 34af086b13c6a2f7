"""The measures of samples, computed on whole columns of a batch of rows.

Values are integer ticks: milliseconds, hundredths of a percent, or counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datasets_prep.card.text_length import count_words
from pipeline.records.sample import Role

MS, BASIS = 1000, 100  # ticks of a second and of a percent


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One distribution of the card."""

    name: str
    title: str
    short: str  # the header of a table's column
    what: str  # what one value is, for the reader
    unit: str = ""  # "s", "%" or nothing
    per_unit: int = 1  # ticks of one unit
    whole_range: bool = False  # drawn from 0 to 100 % whatever the values
    letters: bool = False  # 0 is written A

    def text(self, ticks: int) -> str:
        """A measured value in its unit, to about three digits: ``12.5``."""
        if self.per_unit == 1:
            return self.exact(ticks)
        value = ticks / self.per_unit
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        rounded = f"{value:,.{digits}f}"
        return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded

    def exact(self, ticks: int) -> str:
        """A value in its unit with all of its digits: ``1,250``, ``0.015``, or the letter of an option."""
        if self.letters:
            return chr(ord("A") + ticks) if 0 <= ticks < 26 else str(ticks)
        whole, rest = divmod(ticks, self.per_unit)
        digits = f"{rest:0{len(str(self.per_unit)) - 1}d}".rstrip("0") if rest else ""
        return f"{whole:,}.{digits}" if digits else f"{whole:,}"


MEASURES = (
    Measure(
        name="video",
        title="Length of videos",
        short="video",
        what="one distinct video, whole, whatever part of it is shown",
        unit="s",
        per_unit=MS,
    ),
    Measure(
        name="span",
        title="Length of spans in answers",
        short="span",
        what="one span that an answer must say",
        unit="s",
        per_unit=MS,
    ),
    Measure(
        name="span_share",
        title="Spans in answers, share of the video",
        short="span",
        what="one such span, of what the model is shown: the clip where there is one, else the video",
        unit="%",
        per_unit=BASIS,
        whole_range=True,
    ),
    Measure(
        name="span_start",
        title="Where spans in answers start",
        short="span starts",
        what="one such span; 0 % is the beginning of what the model is shown",
        unit="%",
        per_unit=BASIS,
        whole_range=True,
    ),
    Measure(
        name="asked_span",
        title="Length of spans in questions",
        short="asked span",
        what="one span that a question speaks of",
        unit="s",
        per_unit=MS,
    ),
    Measure(
        name="mask",
        title="Area of masks",
        short="mask",
        what="one mask on one frame; frames in which the object is absent are counted apart",
        unit="%",
        per_unit=BASIS,
    ),
    Measure(
        name="objects",
        title="Objects per sample",
        short="objects",
        what="one sample that has any: objects pointed at and objects to segment",
    ),
    Measure(
        name="frames",
        title="Annotated frames per object",
        short="frames",
        what="one object",
    ),
    Measure(
        name="words",
        title="Text per sample",
        short="text",
        what="one sample, all turns, in words and signs",
        unit="words",
    ),
    Measure(
        name="answer_words",
        title="Text to be learnt per sample",
        short="answers",
        what="one sample's answers, in words and signs",
        unit="words",
    ),
    Measure(
        name="turns",
        title="Turns per sample",
        short="turns",
        what="one sample, questions and answers",
    ),
    Measure(
        name="right",
        title="Position of the right option",
        short="right",
        what="one multiple-choice sample",
        letters=True,
    ),
)

# Leaves of the schema that ``measure`` reads; the masks themselves are not.
COLUMNS = (
    "video.duration_s",
    "turns",
    "regions.list.element.frames",
    "targets.list.element.frames",
    "spans.list.element.start_s",
    "spans.list.element.end_s",
    "question_spans.list.element.start_s",
    "question_spans.list.element.end_s",
    "clip.start_s",
    "clip.end_s",
    "answer_index",
)


def measure(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """Ticks of every measure but ``video`` and ``mask``, by name."""
    out = _spans(batch)
    tracks = [batch["regions"], batch["targets"]]
    objects = _lengths(tracks[0]) + _lengths(tracks[1])
    out["objects"] = objects[objects > 0]
    out["frames"] = np.concatenate([_lengths(_inner(column, "frames")) for column in tracks])
    out |= _texts(batch["turns"])
    right = _numbers(batch["answer_index"])
    out["right"] = right[right >= 0]
    return out


def milliseconds(seconds: pa.Array) -> np.ndarray:
    """Seconds as whole ticks."""
    return np.rint(_numbers(seconds) * MS).astype(np.int64)


def _spans(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    clip_start, clip_end = (pc.struct_field(batch["clip"], name) for name in ("start_s", "end_s"))
    start_s = _numbers(pc.fill_null(clip_start, 0.0))
    end_s = _numbers(pc.coalesce(clip_end, pc.struct_field(batch["video"], "duration_s")))
    row = np.repeat(np.arange(batch.num_rows), _lengths(batch["spans"]))
    first, last = (_numbers(_inner(batch["spans"], name)) for name in ("start_s", "end_s"))
    shown_s = end_s[row] - start_s[row]
    known = shown_s > 0  # a sample that was not probed has no length
    share = 100 * (last - first)[known] / shown_s[known]
    begins = 100 * (first - start_s[row])[known] / shown_s[known]
    asked = [milliseconds(_inner(batch["question_spans"], name)) for name in ("start_s", "end_s")]
    return {
        "span": np.rint((last - first) * MS),
        "span_share": np.rint(share.clip(0, 100) * BASIS),
        "span_start": np.rint(begins.clip(0, 100) * BASIS),
        "asked_span": asked[1] - asked[0],
    }


def _texts(turns: pa.Array) -> dict[str, np.ndarray]:
    per_row = _lengths(turns)
    row = np.repeat(np.arange(len(turns)), per_row)
    words = count_words(_inner(turns, "text"))
    answers = pc.equal(_inner(turns, "role"), str(Role.ASSISTANT)).to_numpy(zero_copy_only=False)
    spoken = np.bincount(row[answers], minlength=len(turns)) > 0
    return {
        "turns": per_row,
        "words": np.bincount(row, weights=words, minlength=len(turns)),
        "answer_words": np.bincount(row[answers], weights=words[answers], minlength=len(turns))[spoken],
    }


def _inner(lists: pa.Array, field: str) -> pa.Array:
    """A field of the structs in a column of lists, flattened over all rows."""
    return pc.struct_field(lists.flatten(), field)


def _lengths(lists: pa.Array) -> np.ndarray:
    return pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)


def _numbers(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)
