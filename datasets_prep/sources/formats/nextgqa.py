"""NExT-GQA: questions whose answers can be seen in some part of the video.

Format: https://github.com/doc-doc/NExT-GQA. ``test.csv``: ``video_id, ..., question, answer, qid, type, a0``
to ``a4``; beside it ``gsub_test.json``: ``{video: {"duration", "location": {qid: [[start, end], ...]}}}``, in
seconds. The plan's ``masks`` names that file or its folder; ``map_vid_vidorID.json`` in the same folder maps
videos to NExT-QA's folders. Training rows have no spans.

``answer`` is the text of an option here, its number in NExT-QA's own files. A question has no question mark.
A tenth of the questions have several spans; the answer has all of them. Some spans (36 in the test file)
begin up to 0.2 s before the video, which ``outside_spans: clamp`` allows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_prep.draft import Draft, DraftTurn, Media, Reason, RejectError, time_mark
from datasets_prep.sources.bases.events import in_time_order, seconds, video_called
from datasets_prep.sources.bases.fields import claimed_duration, expression_of, mapping, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Files, Record, RowsReader, record_key
from datasets_prep.sources.bases.segmentation_text import fill, pick
from datasets_prep.sources.json.json_object import load_object
from datasets_prep.sources.json.opening import open_annotations
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Role, Task

QUESTIONS = (
    "{expression} Answer, and give the start and end of what shows it.",
    "{expression} Say also when in the video this can be seen.",
    "Answer the question and name the part of the video that you rely on: {expression}",
)
ANSWERS = ("{answer} {span}",)
_OPTIONS = tuple(f"a{n}" for n in range(5))
_COLUMNS = frozenset(("video_id", "question", "answer", "qid", "type", *_OPTIONS))


class NextGqa(RowsReader):
    """One draft per question; ``category`` is its type, such as TN or CW."""

    suffixes = (".csv",)

    def rows(self, source: SourceConfig, files: Files) -> Iterator[Record]:
        """Questions in file order, keyed by their number, each with its spans."""
        questions = _rows(files.annotations)
        places, folders = _places(source, files)
        numbered = all(row["answer"] in {"0", "1", "2", "3", "4"} for row in questions)
        for index, row in enumerate(questions):
            place = places.get(row["video_id"])
            location = place.get("location") if isinstance(place, dict) else None
            spans = location.get(row["qid"]) if isinstance(location, dict) else None
            folder = folders.get(row["video_id"])
            length = place.get("duration") if isinstance(place, dict) else None
            more = {"spans": spans, "folder": folder, "numbered": numbered, "duration": length}
            yield Record(key=record_key(source, files, index), raw={**row, **more})

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """By the video's id, and in NExT-QA's folder."""
        return (_media(mapping(record.raw)),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The text of the answer, then its spans in the order of time."""
        raw = mapping(record.raw)
        options = [raw[name].strip() for name in _OPTIONS]
        answer = options[int(raw["answer"])] if raw["numbered"] else raw["answer"].strip()
        if not answer or answer not in options:
            raise RejectError(Reason.BAD_CHOICE, f"answer {answer!r} is none of the options")
        windows = raw["spans"]
        if not isinstance(windows, list) or not windows:
            raise RejectError(Reason.MALFORMED, f"question {raw['qid']} of {raw['video_id']} has no span")
        times = tuple(in_time_order(seconds(w, "location") for w in windows))
        expression = expression_of(raw["question"], "question")
        expression = expression if expression.endswith("?") else f"{expression}?"
        question = pick(source.question_templates or QUESTIONS, seed, record.key, "question")
        reply = pick(source.answer_templates or ANSWERS, seed, record.key, "answer")
        marks = ", ".join(time_mark(n) for n in range(len(times)))
        return [
            Draft(
                key=record.key,
                task=Task.TEMPORAL,
                media=_media(raw),
                turns=(
                    DraftTurn(role=Role.USER, text=fill(question, expression=expression)),
                    DraftTurn(role=Role.ASSISTANT, text=fill(reply, answer=answer, span=marks)),
                ),
                times=times,
                duration_s=claimed_duration(raw),
                expression=expression,
                category=raw["type"],
                type=raw["type"],
            )
        ]


def _rows(path: Path) -> list[dict[str, str]]:
    with open_annotations(path) as file:
        text = file.read().decode("utf-8-sig", "replace")
    table = csv.DictReader(text.splitlines(keepends=True), restval="")
    missing = _COLUMNS - set(table.fieldnames or ())
    if missing:
        raise UserError(
            str(path), f"lacks the columns {', '.join(sorted(missing))}.", "Check that this is NExT-GQA."
        )
    return list(table)


def _places(source: SourceConfig, files: Files) -> tuple[dict[str, Any], dict[str, Any]]:
    """The spans, and the map of videos to folders if there is one."""
    masks = files.masks
    spans = masks / f"gsub_{files.annotations.stem}.json" if masks is not None and masks.is_dir() else masks
    if spans is None or not spans.is_file():
        raise UserError(
            f"source {source.name}",
            f"has questions without spans: {masks} has no gsub_{files.annotations.stem}.json.",
            "Set `masks` to that file, or to the folder that holds it.",
        )
    beside = spans.parent / "map_vid_vidorID.json"
    there = masks is not None and masks.is_dir() and beside.is_file()
    return load_object(spans), load_object(beside) if there else {}


def _media(raw: Any) -> Media:
    video = text_field(raw, "video_id")
    folder = raw["folder"]
    return video_called((folder, video) if isinstance(folder, str) and folder else (video,))


FORMAT = Format(
    name="nextgqa",
    about="NExT-GQA: questions in a CSV file, their spans in gsub_*.json",
    tasks=(Task.TEMPORAL,),
    reader=NextGqa(),
    options=("masks", "question_templates", "answer_templates"),
    question_blanks=("{expression}",),
    answer_blanks=("{answer}", "{span}"),
)
