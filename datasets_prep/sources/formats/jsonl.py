"""One's own data: a record per question, with as much of an answer as there is.

Described in docs/own-data.md. ``video`` is the path of a video, or a list of the paths of stills; the rest
of a record says what is asked and what is right: ``question`` and ``answer`` or ``messages``, ``options``,
``spans`` in seconds, ``regions`` and ``masks`` of objects; ``start`` and ``end`` bound the clip that is
shown. All times and frame numbers count from the start of the file. ``columns`` of the plan maps the names.

A record's type, for ``keep_types``, is its task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets_prep.draft import TIME_MARK, Draft, DraftSpan, DraftTrack, DraftTurn, Media, Reason, RejectError
from datasets_prep.sources.bases.conversation import read_written_times
from datasets_prep.sources.bases.fields import clip_of, excerpt, media_of
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Files, ListReader, Record
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.own.objects import objects_in
from datasets_prep.sources.own.record import FIELDS, OwnRecord
from datasets_prep.sources.own.texts import (
    SPAN,
    choice_in,
    spans_in,
    turns_in,
    with_masks,
    with_regions,
    with_spans,
)
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig, Use
from pipeline.records.choices import answer_with_letter, question_with_options
from pipeline.records.sample import Role, Task

_LONGEST_ID = 200  # characters of a key


class _Row(NamedTuple):
    raw: Any
    masks: Path | None  # the folder of PNG files


class Jsonl(ListReader):
    """One draft per record."""

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Chunks of consecutive records."""
        if files.masks is not None and not files.masks.is_dir():
            raise UserError(
                f"source {source.name}",
                f"`masks` is {source.masks}, which is not a folder.",
                "Name the folder that the paths of PNG files in the records count from.",
            )
        return super().chunks(source, files, limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Records in file order. The key is the number in the file, then the ``id`` if there is one."""
        name = source.columns.get("id", "id")
        for record in super().records(source, files, chunk):
            written = record.raw.get(name) if isinstance(record.raw, dict) else None
            part = _key_part(written)
            key = f"{record.key}/{part}" if part else record.key
            yield record._replace(key=key, raw=_Row(record.raw, files.masks))

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The record's video."""
        return (_media(OwnRecord(record.raw.raw, source.columns)),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """A multiple choice if there are options; else by what is pointed at and what the answer holds."""
        own = OwnRecord(record.raw.raw, source.columns)
        media = _media(own)
        _check_id(own)
        with own.reading("category"):
            category = own.text("category") if own.has("category") else ""
        with own.reading("start"):
            clip = clip_of({"start": own.get("start"), "end": own.get("end")})
        regions, targets = (_objects(own, name, record.raw.masks) for name in ("regions", "masks"))
        with own.reading("spans"):
            spans = spans_in(own.get("spans")) if own.has("spans") else ()
        turns = turns_in(own)
        choices, right = choice_in(own) if own.has("options") else ((), -1)
        if choices and source.use is Use.TRAIN:  # a benchmark's own prompt names the options
            turns = [
                DraftTurn(Role.USER, question_with_options(turns[0].text, choices)),
                DraftTurn(Role.ASSISTANT, answer_with_letter(choices, right)),
            ]
        if len(turns) > 2 and source.use is Use.BENCHMARK:
            raise RejectError(
                Reason.TURNS, f"{len(turns)} turns; a benchmark asks one question, write a record for each"
            )
        reference = _in_seconds(turns[1].text, spans) if len(turns) == 2 and not choices else ""
        with own.reading("regions"):
            turns = with_regions(turns, len(regions))
        spoken = read_written_times(turns)
        turns = list(spoken.turns)
        with own.reading("spans"):
            turns = with_spans(turns, len(spans), len(spoken.times))
        with own.reading("masks"):
            turns = with_masks(turns, len(targets))
        if source.use is Use.TRAIN and len(turns) % 2:
            with own.reading("answer"):
                raise RejectError(Reason.TURNS, "`answer` is missing, and training needs one")
        times = (*spoken.times, *spans)
        answers = "".join(turn.text for turn in turns if turn.role is Role.ASSISTANT)
        timed = re.search(TIME_MARK, answers) is not None
        if choices and (targets or timed):
            raise RejectError(
                Reason.MALFORMED,
                "the answer to a multiple choice is an option, and this one has masks or spans too; write "
                "two records",
            )
        task = _task(bool(choices), bool(regions), bool(targets), bool(times), timed)
        return [
            Draft(
                key=record.key,
                task=task,
                media=media,
                turns=tuple(turns),
                times=times,
                regions=regions,
                targets=targets,
                clip=clip,
                choices=choices,
                answer_index=right,
                reference=reference,
                category=category,
                type=str(task),
            )
        ]


def _task(choices: bool, regions: bool, targets: bool, times: bool, timed: bool) -> Task:
    """``times``: spans anywhere; ``timed``: in the answer."""
    if choices:
        return Task.CHOICE
    if targets:
        return Task.COOPERATIVE if regions or timed else Task.SEGMENT
    if times:
        return Task.TEMPORAL
    return Task.REFER if regions else Task.QA


def _media(own: OwnRecord) -> Media:
    with own.reading("video"):
        return media_of(own.get("video"))


def _objects(own: OwnRecord, field: str, folder: Path | None) -> tuple[DraftTrack, ...]:
    with own.reading(field):
        return objects_in(own.get(field), field, folder) if own.has(field) else ()


def _check_id(own: OwnRecord) -> None:
    with own.reading("id"):
        if own.has("id") and not _key_part(own.get("id")):
            raise RejectError(
                Reason.MALFORMED,
                f"`id` is {excerpt(own.get('id'))}; a number, or a text of at most {_LONGEST_ID} printable "
                "characters was expected",
            )


def _key_part(written: Any) -> str:
    """The part of a key that an ``id`` gives; empty for a missing one and for one that cannot be used."""
    if isinstance(written, bool) or not isinstance(written, int | str):
        return ""
    text = str(written).strip()
    return text if text.isprintable() and len(text) <= _LONGEST_ID else ""


def _in_seconds(answer: str, spans: Sequence[DraftSpan]) -> str:
    """The answer as a judge reads it. (Spans in the question come first, so they are not the answer's.)"""
    places = answer.count(SPAN)
    for span in spans[len(spans) - places :] if places <= len(spans) else ():
        answer = answer.replace(SPAN, f"{span.start:g} to {span.end:g} s", 1)
    return answer


FORMAT = Format(
    name="jsonl",
    about="one's own data: a record per question",
    tasks=tuple(Task),
    reader=Jsonl(),
    options=("columns", "masks"),
    columns=FIELDS,
    own_data=True,
)
