"""Charades-STA in the forms in which it is published.

* text, the native one: ``<VID> <start> <end>##<sentence>`` (https://github.com/jiyanggao/TALL), seconds
* {"annotations": [{"image_id", "caption", "timestamp"}]}: seconds (TimeChat)
* {"database": {VID: {"annotations": [{"label", "segment"}]}}}: seconds (DisTime)
* [{"video", "query", "relevant_windows"}]: seconds, one draft per window
* [{"image_id" or "video", "caption", "timestamp"}]: fractions of the video (LLaVA-ST, UFVideo)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Media, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.fields import (
    claimed_duration,
    mapping,
    media_of,
    number,
    text_field,
    with_suffix,
)
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import WHOLE, Files, Record, RowsReader, record_key
from datasets_prep.sources.bases.segmentation_text import pick
from datasets_prep.sources.json.json_file import list_chunks, list_records
from datasets_prep.sources.json.json_object import load_object, root_is_object
from datasets_prep.sources.json.opening import open_annotations
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Role, Task

QUESTIONS = ("When does '{expression}' happen in the video? Give only its start and end.",)
_LINE = re.compile(r"^(\S+) (\S+) (\S+)\s*##(.*)$")


class CharadesSta(RowsReader):
    """One draft per query; ``expression`` is its sentence as written."""

    suffixes = (".txt", ".json")

    def rows(self, source: SourceConfig, files: Files) -> Iterator[Record]:
        """Queries in file order; the key is the line or entry number."""
        path = files.annotations
        rows = _text_rows(files) if path.suffix == ".txt" else _json_rows(files)
        for index, raw in enumerate(rows):
            yield Record(key=record_key(source, files, index), raw=raw)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Several windows of a query become several drafts."""
        raw = mapping(record.raw)
        if "problem" in raw:
            raise RejectError(Reason.MALFORMED, raw["problem"])
        expression = text_field(raw, "text").strip()
        windows = raw["windows"]
        if not isinstance(windows, list) or not windows:
            raise RejectError(Reason.MALFORMED, "the query has no span")
        question = pick(source.question_templates or QUESTIONS, seed, record.key, "question")
        question = question.replace("{expression}", expression.removesuffix("."))
        return [
            Draft(
                key=record.key if len(windows) == 1 else f"{record.key}/{part}",
                task=Task.TEMPORAL,
                media=_media(raw["video"]),
                turns=(
                    DraftTurn(role=Role.USER, text=question),
                    DraftTurn(role=Role.ASSISTANT, text=time_mark(0)),
                ),
                times=(_span(window, raw["unit"]),),
                duration_s=claimed_duration(raw),
                expression=expression,
            )
            for part, window in enumerate(windows)
        ]


def _text_rows(files: Files) -> Iterator[dict[str, Any]]:
    lines = 0
    good = 0
    with open_annotations(files.annotations) as file:
        for raw_line in file:
            line = raw_line.decode("utf-8", "replace").rstrip("\r\n")
            if not line.strip():
                continue
            lines += 1
            found = _LINE.match(line)
            if found is None:
                yield {"problem": f"{line[:80]!r} is not `VIDEO START END##sentence`"}
                continue
            good += 1
            video, start, end, text = found.groups()
            yield {"video": video, "text": text, "windows": [[start, end]], "unit": Unit.SECONDS}
    if not good:
        raise UserError(
            str(files.annotations),
            f"none of its {lines} lines is `VIDEO START END##sentence`.",
            "Check the download.",
        )


def _json_rows(files: Files) -> Iterator[Any]:
    path = files.annotations
    if not root_is_object(path):
        for chunk in list_chunks(path, WHOLE):
            for raw in list_records(path, chunk):
                yield _listed(raw) if isinstance(raw, dict) else raw
        return
    whole = load_object(path)
    listed, database = whole.get("annotations"), whole.get("database")
    found = 0
    for raw in listed if isinstance(listed, list) else []:
        found += 1
        if isinstance(raw, dict):
            yield _row(raw, "image_id", "caption", [raw.get("timestamp")], Unit.SECONDS)
        else:
            yield raw
    for video, entry in database.items() if isinstance(database, dict) else []:
        queries = entry.get("annotations") if isinstance(entry, dict) else None
        for raw in queries if isinstance(queries, list) else [None]:
            found += 1
            if isinstance(raw, dict):
                own = {"duration": entry.get("duration"), **raw, "video": video}
                yield _row(own, "video", "label", [raw.get("segment")], Unit.SECONDS)
            else:
                yield {"problem": f"an annotation of video {video} is not a query"}
    if not found:
        raise UserError(
            str(path), "has neither `annotations` nor `database`.", "Check that this is Charades-STA."
        )


def _listed(raw: dict[str, Any]) -> dict[str, Any]:
    if "relevant_windows" in raw:
        return _row(raw, "video", "query", raw["relevant_windows"], Unit.SECONDS)
    name = "image_id" if "image_id" in raw else "video"
    return _row(raw, name, "caption", [raw.get("timestamp")], Unit.FRACTION)


def _row(raw: Any, video: str, text: str, windows: Any, unit: Unit) -> dict[str, Any]:
    row = {"video": raw.get(video), "text": raw.get(text), "windows": windows, "unit": unit}
    return {**row, "duration": raw.get("duration")}


def _span(window: Any, unit: Unit) -> DraftSpan:
    if not isinstance(window, list | tuple) or len(window) != 2:
        raise RejectError(Reason.MALFORMED, f"{window!r} is not a pair of times")
    return DraftSpan(start=number(window[0], "start"), end=number(window[1], "end"), unit=unit)


def _media(video: Any) -> Media:
    if not isinstance(video, str) or not video:
        raise RejectError(Reason.MALFORMED, "the query names no video")
    paths = [p for name in with_suffix(video) for p in media_of(name).candidates]
    return Media(candidates=tuple(dict.fromkeys([*paths, *(f"Charades_v1_480/{p}" for p in paths)])))


FORMAT = Format(
    name="charades_sta",
    about="Charades-STA: lines of text, or a JSON list",
    tasks=(Task.TEMPORAL,),
    reader=CharadesSta(),
    options=("question_templates",),
)
