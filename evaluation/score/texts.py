"""Predictions in text files: JSON, JSON lines, lmms-eval's logs of samples, this project's own answers.

Every record is a mapping, from which an id, a video, words and an answer are taken under the names that
people use. Many write their answer into the benchmark's own record, so a name that only predictions have
("pred") goes before one that truth has as well ("timestamp", "start", "answer").
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evaluation.score.given import (
    Given,
    Name,
    category_words,
    id_name,
    video_in_category,
    video_part,
    video_words,
)
from pipeline.errors import UserError

IDS = ("key", "id", "qid", "question_id", "sample_id", "uid", "doc_id", "index")
VIDEOS = ("video", "vid", "video_id", "image_id", "video_name", "video_path", "visual")
WORDS = ("question", "query", "caption", "sentence", "expression", "exp", "text_query", "description")
CATEGORIES = ("task_type", "task", "type", "category", "question_type")
EXPRESSIONS = ("exp_id", "expression_id", "expid")
PREDICTED = ("pred", "prediction", "response", "answer_pred", "output", "generated", "model_output")
PREDICTED_SPANS = ("pred_span", "pred_relevant_windows")
ANSWERS = (*PREDICTED, "text", "answer")
SPANS = (*PREDICTED_SPANS, "span", "timestamp", "timestamps", "segment", "window")
CONFIDENCES = ("score", "conf", "confidence")
MASKS = ("pred_masks", "segmentations", "masks", "segmentation", "rle")
FRACTION_KEYS = ("fraction", "fractions", "relative")
_NULL = "the answer is null"
_NOT_FINITE = "a time of the answer is not a finite number"


def read_json(content: bytes, where: str) -> Iterator[Given]:
    """Predictions of a JSON or JSON-lines file. Raises UserError for a form that is not known."""
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{where}, line {line}", f"is not UTF-8 ({error}).", "Save it as UTF-8.") from None
    try:
        whole = json.loads(text)
    except ValueError:
        yield from _lines(text, where)
        return
    except RecursionError:
        raise UserError(where, "is nested too deeply to be predictions.", "Check the file.") from None
    yield from _of_root(whole, where)


def _lines(text: str, where: str) -> Iterator[Given]:
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would cut at U+2028, which texts hold
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{where}, line {number}", f"is neither JSON nor a line of JSON ({error}).", "Check the file."
            ) from None
        yield of_record(record, f"{where}, line {number}")


def _of_root(whole: Any, where: str) -> Iterator[Given]:
    if isinstance(whole, list):
        for number, record in enumerate(whole):
            yield of_record(record, f"{where}, entry {number}")
        return
    if isinstance(whole, Mapping):
        if _names(whole) and _answer_of(whole) is not None:  # a file of one line
            yield of_record(whole, where)
            return
        for key in ("predictions", "results", "answers", "data", "logs"):
            if isinstance(whole.get(key), list | Mapping):
                yield from _of_root(whole[key], where)
                return
        yield from _of_mapping(whole, where)
        return
    raise _unknown(whole, where)


def _of_mapping(whole: Mapping[str, Any], where: str) -> Iterator[Given]:
    """``{video: {query: {start, end}}}``, ``{video: {expression id: [RLE]}}`` or ``{id: answer}``."""
    for name, value in whole.items():
        place = f"{where}, {name!r}"
        if isinstance(value, Mapping) and not _answer_of(value) and value:
            for part, inner in value.items():
                names = (video_words(name, part), video_part(name, part), id_name(f"{name}/{part}"))
                yield _with_answer(names, inner, f"{place}, {part!r}")
        else:
            record = {**value, "id": value.get("id", name)} if isinstance(value, Mapping) else value
            yield _with_answer((id_name(name), *_names(record)), value, place)


def of_record(record: Any, where: str) -> Given:
    """The prediction of one record. Raises UserError for one that is not a mapping or holds no answer."""
    if not isinstance(record, Mapping):
        raise _unknown(record, where)
    return _with_answer(_names(record), record, where)


def _names(record: Any) -> tuple[Name, ...]:
    if not isinstance(record, Mapping):
        return ()
    doc = record.get("doc")  # lmms-eval repeats the benchmark's own record there
    doc = doc if isinstance(doc, Mapping) else {}
    found: list[Name] = []
    found += [id_name(record[key]) for key in IDS[:-2] if _is_id(record.get(key))]
    found += [id_name(doc[key]) for key in IDS[:-2] if _is_id(doc.get(key))]
    videos = _texts(record, VIDEOS) + _texts(doc, VIDEOS)
    categories = _texts(record, CATEGORIES) + _texts(doc, CATEGORIES)
    asked = _texts(record, WORDS) + _texts(doc, WORDS)
    parts = [str(record[k]) for k in EXPRESSIONS if _is_id(record.get(k))]
    found += [video_part(video, part) for video in videos for part in parts]
    found += [video_words(video, text) for video in videos for text in asked]
    found += [category_words(category, text) for category in categories for text in asked]
    found += [video_in_category(video, category) for video in videos for category in categories]
    found += [id_name(record[key]) for key in IDS[-2:] if _is_id(record.get(key))]
    return tuple(dict.fromkeys(found))


def _with_answer(names: tuple[Name, ...], value: Any, where: str) -> Given:
    if not isinstance(value, Mapping):
        answer = _plain_answer(value)
    else:
        answer = _answer_of(value)
    if answer is None:
        raise _unknown(value, where)
    if isinstance(value, Mapping) and any(value.get(key) for key in FRACTION_KEYS):
        answer["fractions"] = True
    return Given(where=where, names=names, **answer)


def _answer_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a record answers, as fields of Given; None if it holds no answer."""
    for key in ("filtered_resps", "resps"):
        if (text := _first_text(record.get(key))) is not None:
            return {"text": text, "field": key}
    for key in MASKS:
        if isinstance(record.get(key), list) and _is_masks(record[key]):
            text = next((record[name] for name in ANSWERS if isinstance(record.get(name), str)), None)
            return {"rle": tuple(record[key]), "text": text, "field": key}
    mine = [key for key in (*PREDICTED_SPANS, *PREDICTED) if key in record]
    if mine:  # the rest of the record may be the truth
        return _first_answer(record, mine) or _null(record, mine)
    return (
        _start_and_end(record)
        or _first_answer(record, (*SPANS, *ANSWERS))
        or _null(record, (*SPANS, *ANSWERS))
    )


def _null(record: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any] | None:
    """A failure where a record has an answer and it is null."""
    empty = (key for key in keys if key in record and record[key] is None)
    return next(({"failure": _NULL, "field": key} for key in empty), None)


def _first_answer(record: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any] | None:
    for key in keys:
        if key not in record:
            continue
        if record[key] == [] and key in SPANS:  # an answer that names no window
            return {"text": "", "field": key}
        if (answer := _plain_answer(record[key])) is not None:
            return {**answer, "field": key}
    return None


def _start_and_end(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """A span as two numbers, also where they are written as text; clock times stay a text."""
    ends: list[Any] = [record.get("start"), record.get("end")]
    if all(isinstance(end, str) and end.strip() for end in ends):
        try:
            ends = [float(end) for end in ends]
        except ValueError:
            return {"text": f"{ends[0]} to {ends[1]}", "field": "start, end"}
    return {**_span(ends), "field": "start, end"} if all(map(_number, ends)) else None


def _span(ends: Sequence[Any]) -> dict[str, Any]:
    start, end = map(_float, ends)
    if not (math.isfinite(start) and math.isfinite(end)):
        return {"failure": _NOT_FINITE}
    return {"span": (start, end)}


def _plain_answer(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, Mapping):
        return _start_and_end(value)
    if isinstance(value, list | tuple) and value:
        if len(value) == 2 and all(map(_number, value)):
            return _span(value)
        if (windows := _windows(value)) is not None:
            return windows
        if _is_masks(value):
            return {"rle": tuple(value)}
        if isinstance(value[0], str) and len(value) == 1:
            return {"text": value[0]}
    if _number(value) and float(_float(value)).is_integer():
        return {"choice": int(value)}
    return None


def _windows(value: Sequence[Any]) -> dict[str, Any] | None:
    """``[[start, end], …]`` or ``[{"start", "end"}, …]``, each with a confidence or none with one."""
    keys = ("start", "end", *CONFIDENCES)
    rows = [[one[k] for k in keys if k in one] if isinstance(one, Mapping) else one for one in value]
    if not all(isinstance(row, list | tuple) and all(map(_number, row)) for row in rows):
        return None
    sizes = {len(row) for row in rows}
    if sizes not in ({2}, {3}):
        return None
    numbers = [[_float(number) for number in row] for row in rows]
    if not all(math.isfinite(number) for row in numbers for number in row):
        return {"failure": _NOT_FINITE}
    windows = tuple((row[0], row[1]) for row in numbers)
    confidences = tuple(row[2] for row in numbers) if sizes == {3} else ()
    return {"span": windows[0], "windows": windows, "confidences": confidences}


def _first_text(value: Any) -> str | None:
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else None


def _texts(record: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [record[key] for key in keys if isinstance(record.get(key), str) and record[key]]


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # of a whole number with hundreds of digits
        return math.inf


def _is_masks(value: Sequence[Any]) -> bool:
    """A list with an RLE of COCO or null for each frame; nulls alone say that the object is never there."""
    return bool(value) and all(
        v is None or (isinstance(v, Mapping) and {"size", "counts"} <= set(v)) for v in value
    )


def _unknown(value: Any, where: str) -> UserError:
    shown = json.dumps(value, ensure_ascii=False, default=str)[:200]
    return UserError(
        where,
        f"is not a prediction that is known: {shown}.",
        "Looked for an answer as text ("
        + ", ".join(ANSWERS)
        + ", resps), as a span or a list of them (start and end, "
        + ", ".join(SPANS)
        + "; all or none with a confidence), or as COCO RLE ("
        + ", ".join(MASKS)
        + f"); for its sample by {', '.join(IDS)}, or by a video ({', '.join(VIDEOS)}) with words "
        f"({', '.join(WORDS)}).",
    )
