"""Rows in many forms: message lists, lists of one, clips, lettered steps, odd JSON.

They are read where the meaning is clear, else rejected with what was found and what was expected. No Ray.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets_prep.draft import OPEN, Draft, DraftSpan, Reason, RejectError, Unit
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.json.parse import Unparsed, parse
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

CONVERSATION = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
MESSAGES = [{"role": "user", "content": "<video>What?"}, {"role": "assistant", "content": "That."}]


def source(fmt: str = "llava_video", **more: Any) -> SourceConfig:
    fields = {"name": "s", "format": fmt, "annotations": "x", "media": ("m",), **more}
    return SourceConfig.model_validate(fields)


def drafts_of(path: Path, config: SourceConfig) -> Iterator[Draft | RejectError]:
    """The draft or the reject of every row of a file; checks that ``media`` announces every medium."""
    reader = reader_of(config.format)
    for record in reader.records(config, Files(annotations=path)):
        try:
            (draft,) = reader.convert(record, config, 1)
            assert draft.media in reader.media(record, config, 1)
            yield draft
        except RejectError as error:
            yield error


def draft_of(folder: Path, row: Any, config: SourceConfig | None = None) -> Draft:
    """The draft of a row. Raises RejectError."""
    (folder / "a.json").write_text(row if isinstance(row, str) else json.dumps([row]))
    (result,) = drafts_of(folder / "a.json", config or source())
    if isinstance(result, RejectError):
        raise result
    return result


def row(**more: Any) -> dict[str, Any]:
    return {"video": "v.mp4", "conversations": CONVERSATION, **more}


def parts(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "video", "video": "v.mp4"}, *({"type": "text", "text": text} for text in texts)]


@pytest.mark.parametrize(
    "form",
    [
        row(),
        row(conversations=MESSAGES),
        row(conversations=[CONVERSATION]),
        {"video": "v.mp4", "messages": MESSAGES},
        {"video": "v.mp4", "messages": CONVERSATION},
        {"videos": ["v.mp4"], "messages": MESSAGES},
        {"messages": [{"role": "user", "content": parts("What?")}, MESSAGES[1]]},
        {"messages": [{"role": "user", "content": ["What?"]}, MESSAGES[1]], "video": ["v.mp4"]},
        row(conversations=[{**CONVERSATION[0], "role": None, "content": None}, CONVERSATION[1]]),
    ],
)
def test_every_form_of_a_conversation_gives_the_same_draft(form: dict[str, Any], tmp_path: Path) -> None:
    draft = draft_of(tmp_path, form)
    assert [turn.text for turn in draft.turns] == ["What?", "That."]
    assert (draft.media.candidates, draft.media.frames, draft.task) == (("v.mp4",), (), Task.QA)


def test_several_text_parts_are_joined_by_line_breaks(tmp_path: Path) -> None:
    form = {"messages": [{"role": "user", "content": parts("Look.", "What?")}, MESSAGES[1]]}
    assert draft_of(tmp_path, form).turns[0].text == "Look.\nWhat?"


@pytest.mark.parametrize(
    ("form", "reason", "detail"),
    [
        (
            row(conversations=[CONVERSATION[0], MESSAGES[1]]),
            "malformed",
            "has `role` and `content`, the first `from`",
        ),
        (
            row(conversations=[{**CONVERSATION[0], **MESSAGES[0]}]),
            "malformed",
            "has all of `from` and `value` or",
        ),
        (
            row(conversations=[{"speaker": "a", "text": "b"}]),
            "malformed",
            "has `speaker`, `text`, not `from`",
        ),
        (row(conversations=["Q", "A"]), "malformed", "turn 0 of `conversations` is 'Q', without `from`"),
        (row(conversations=[]), "malformed", r"`conversations` is \[\], a list of turns was expected"),
        (row(conversations="Q?"), "malformed", "`conversations` is 'Q\\?', a list of turns was expected"),
        (row(messages=MESSAGES), "malformed", "`conversations` and `messages`, one was expected"),
        ({"video": "v.mp4"}, "malformed", "neither `conversations` nor `messages`"),
        (
            row(conversations=[{"role": "system", "content": "Be kind."}, *MESSAGES]),
            "turns",
            "turn 0 is by 'system', human or user was expected",
        ),
        (
            row(conversations=[{"from": "human", "value": 3}, CONVERSATION[1]]),
            "malformed",
            "is 3, a text was expected",
        ),
        (
            row(conversations=[{"role": "user", "content": [{"type": "audio"}]}, MESSAGES[1]]),
            "malformed",
            "has the part {'type': 'audio'}; parts of text and video were expected",
        ),
        ({"messages": MESSAGES, "videos": ["a.mp4", "b.mp4"]}, "malformed", "2 videos, one was expected"),
        ({"conversations": CONVERSATION}, "malformed", "`video` is missing"),
        (row(video=7), "malformed", "`video` is 7, a path was expected"),
        (row(video={"bytes": ""}), "malformed", "`video` is {'bytes': ''}, a path was expected"),
    ],
)
def test_other_forms_are_rejected_with_what_was_expected(
    form: dict[str, Any], reason: str, detail: str, tmp_path: Path
) -> None:
    with pytest.raises(RejectError, match=detail) as caught:
        draft_of(tmp_path, form)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("more", "clip"),
    [
        ({"start": 2.0, "end": 3}, (2.0, 3.0)),
        ({"video_start": "2.0", "video_end": 3.0}, (2.0, 3.0)),
        ({"start_time": 2, "end_time": 3}, (2.0, 3.0)),
        ({"clip": [2, 3]}, (2.0, 3.0)),
        ({"end": 3}, (0.0, 3.0)),
        ({"start": 2}, (2.0, OPEN)),
        ({"start": None, "end": None}, None),
    ],
)
def test_every_spelling_of_a_clip_is_read(
    more: dict[str, Any], clip: tuple[float, float] | None, tmp_path: Path
) -> None:
    expected = clip and DraftSpan(start=clip[0], end=clip[1], unit=Unit.SECONDS)
    assert draft_of(tmp_path, row(**more)).clip == expected


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({"start": 2, "end": 3, "clip": [2, 3]}, "`start` and `end` and `clip` name the clip"),
        ({"clip": [2]}, r"`clip` is \[2\], a start and an end in seconds were expected"),
        ({"start": "soon", "end": 3}, "`start` 'soon'"),
    ],
)
def test_ambiguous_and_invalid_clips_are_rejected(more: dict[str, Any], detail: str, tmp_path: Path) -> None:
    with pytest.raises(RejectError, match=detail):
        draft_of(tmp_path, row(**more))


PART = {"start": 2.0, "end": 3}
SPOKEN = [CONVERSATION[0], {"from": "gpt", "value": "From <s0> to <e0>."}]
TOKENS = {"token": {"<s0>": 0.5, "<e0>": 1.0}}
NUMBERED = "frames of masks are numbered from the start of the whole video"


@pytest.mark.parametrize(
    ("fmt", "fields", "expected"),
    [
        ("time_stamp", {"duration": 1.0, **PART}, "clip"),
        ("st_align", PART, "clip"),
        ("st_align", {"meta": {"split": [0, 9]}, **PART}, "`start` and `end`: `meta.split` names the clip"),
        ("vtimellm", PART, "clip"),
        ("vtimellm", {"meta": {"split": [0, 9]}, **PART}, "`start` and `end`: `meta.split` names the clip"),
        ("vtimellm", {"conversations": SPOKEN, "meta": TOKENS, **PART}, "expected in `meta.split`"),
        ("videorefer", PART, NUMBERED),
        ("videorefer", {"clip": [2, 3]}, f"`clip`: {NUMBERED}"),
        ("videorefer_bench_d", {"video_start": 2}, f"`video_start`: {NUMBERED}"),
        ("videorefer_bench_q", {"end_time": 3}, f"`end_time`: {NUMBERED}"),
        ("ufvideo_bench", PART, NUMBERED),
    ],
)
def test_a_clip_is_read_or_rejected_in_every_format(
    fmt: str, fields: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    """It is read where it has one meaning, else the row is rejected: it is never silently ignored."""
    form = {"id": "v", "unibench": "task2", **row(**fields)}
    if expected != "clip":
        with pytest.raises(RejectError, match=expected) as caught:
            draft_of(tmp_path, form, source(fmt))
        assert caught.value.reason is Reason.MALFORMED
        return
    draft = draft_of(tmp_path, form, source(fmt))
    assert draft.clip == DraftSpan(start=2.0, end=3.0, unit=Unit.SECONDS)
    assert draft.duration_s is None  # it could be that of the clip or of the video


STEPS = "Describe these steps:\nA. opening\nB. closing"
CHOICE = "What does he do?\nA. opens it.\nB. closes it."


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        (STEPS, "First he opens it and then closes it.", None),
        (STEPS, "A. opening: he pulls the lid.\nB. closing: he pushes it.", None),
        (STEPS, "A. He takes the lid with both hands and pulls.", None),
        ("Who is who?\n(A) the man\n(B) the woman", "The man wears red, the woman wears blue.", None),
        (CHOICE, "B", 1),
        (CHOICE, "B. closes it.", 1),
        (CHOICE, "closes it", 1),
        (CHOICE, "(A) opens it.", 0),
        (f"{CHOICE}\nAnswer with the letter.", "A. He opens it with both hands, I think.", 0),
        (CHOICE, "C. breaks it.", "names none"),
        (CHOICE, "dances", "names none"),
        (f"{CHOICE}\nAnswer with the letter.", "He opens it and then he closes it.", "names none"),
    ],
)
def test_lettered_lines_are_options_if_the_answer_names_one_and_steps_otherwise(
    question: str, answer: str, right: int | str | None, tmp_path: Path
) -> None:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    if isinstance(right, str):
        with pytest.raises(RejectError) as caught:
            draft_of(tmp_path, row(conversations=turns))
        assert caught.value.reason is Reason.BAD_CHOICE
        return
    draft = draft_of(tmp_path, row(conversations=turns))
    assert draft.task is (Task.QA if right is None else Task.CHOICE)
    assert draft.answer_index == (-1 if right is None else right)
    assert len(draft.choices) == (0 if right is None else 2)


def test_a_list_of_one_value_is_read_as_the_value(tmp_path: Path) -> None:
    asked = {"video": ["v.mp4"], "question": ["Q?"], "candidates": ["a", "b"], "answer": ["b"]}
    draft = draft_of(tmp_path, asked, source("mvbench", use="benchmark"))
    assert (draft.answer_index, draft.media.candidates[0]) == (1, "v.mp4")
    assert draft_of(tmp_path, row(video=["f/1.jpg"])).media.frames == ("1.jpg",)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_rejected_where_they_matter(value: str, tmp_path: Path) -> None:
    """They are ignored in a field that is not read, and rejected in one that is."""
    text = json.dumps([row(duration="#")]).replace('"#"', value)
    assert draft_of(tmp_path, text).turns[1].text == "That."
    with pytest.raises(RejectError, match=r"`start` -?(nan|inf)") as caught:
        draft_of(tmp_path, json.dumps([row(start="#", end=3)]).replace('"#"', value))
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("text", "valid", "problem"),
    [
        (rb'{"a": ["\ud83d"]}', True, r"`a\[0\]` holds \\ud83d, one half of a character"),
        (rb'{"\udc00": 1}', True, r"holds \\udc00"),
        (rb'{"a": {"b": 1, "b": NaN}}', True, "'b' occurs twice"),
        (b'{"a": ' + b"[" * 4000 + b"]" * 4000 + b"}", True, "nested too deeply"),
        (b'{"a": ' + b"7" * 5000 + b".5e1}", True, ""),
        (b'{"a": ' + b"7" * 5000 + b"}", True, ""),
        (b'{"a": "\xff"}', False, "byte 7 is not UTF-8"),
        (b'{"a": 1,}', False, ""),
        (b"{'a': 1}", False, ""),
        (b'{"a": "x\ny"}', False, ""),
    ],
)
def test_unusable_json_is_distinguished_from_text_that_is_not_json(
    text: bytes, valid: bool, problem: str
) -> None:
    value = parse(text)
    if not isinstance(value, Unparsed):
        assert valid
        assert not problem
        return
    import re

    assert value.valid is valid
    assert re.search(problem, value.problem)


@pytest.mark.parametrize("lines", [False, True])
def test_the_reason_distinguishes_valid_json_from_broken(tmp_path: Path, lines: bool) -> None:
    good, bad = json.dumps(row()), rb'{"video": "\ud83d.mp4"}'.decode()
    records = [good, bad, '{"video": 1 2}', good]
    path = tmp_path / ("a.jsonl" if lines else "a.json")
    path.write_text("\n".join(records) if lines else f"[{','.join(records)}]")
    results = list(drafts_of(path, source()))
    reasons = [r.reason if isinstance(r, RejectError) else None for r in results]
    assert reasons == [None, Reason.MALFORMED, Reason.BROKEN_JSON, None]


@pytest.mark.parametrize(
    ("content", "fmt", "problem"),
    [
        (json.dumps({"data": [row()]}, indent=1).encode(), "llava_video", r"one JSON object \(with `data`\)"),
        (b'"text"', "llava_video", "is a JSON text, where a JSON array or JSON lines was expected"),
        (b"17", "llava_video", "is a JSON number"),
        (json.dumps([row()]).encode("utf-16"), "llava_video", "is written in UTF-16"),
        (b"<html>", "llava_video", "is not JSON .it begins with '<html>'"),
        (b"", "llava_video", "is empty"),
        (rb'{"\ud83d": {"timestamps": []}}', "activitynet_captions", r"cannot be used: .*holds \\ud83d"),
    ],
)
def test_the_error_names_the_kind_of_a_file_that_is_not_a_list(
    tmp_path: Path, content: bytes, fmt: str, problem: str
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    config = source(fmt)
    with pytest.raises(UserError, match=problem) as caught:
        list(drafts_of(tmp_path / "a.json", config))
    assert "broken" not in str(caught.value).lower()


def test_records_that_once_failed_are_read_or_rejected_with_a_reason(cases: Path) -> None:
    """Each file ends with a valid row; the rows before it are read or rejected as listed."""
    expected: dict[str, list[str | None]] = {
        "roles": [None],
        "list1": [None],
        "startend": [None, None, None],
        "mc_openlist": [None],
        "nan": [None],
        "surrogate": ["malformed"],
    }
    for name, before in expected.items():
        *results, good = drafts_of(cases / "records" / f"{name}.json", source())
        assert isinstance(good, Draft)
        assert [r.reason if isinstance(r, RejectError) else None for r in results] == before, name
        if name == "startend":
            assert {r.clip for r in results if isinstance(r, Draft)} == {
                DraftSpan(start=2.0, end=3.0, unit=Unit.SECONDS)
            }
        if name == "mc_openlist":
            assert [r.task for r in results if isinstance(r, Draft)] == [Task.QA]
    odd = list(drafts_of(cases / "records" / "vr15.json", source("videorefer")))
    assert isinstance(odd[0], RejectError)
    assert "null for an object that is absent, was expected" in odd[0].detail
    assert all(isinstance(r, Draft) for r in odd[1:])
