"""Times in texts of models are read correctly or refused with a reason; the video has 100 s, 1000 frames."""

from __future__ import annotations

import gc
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.times.frame_times import FrameTimes
from pipeline.times.parser import BARE_FORMS, Failure, Form, ParsedSpan, Refusal, Times, parse
from pipeline.times.temporal import Outside

T = 100.0
FRAMES = FrameTimes.even(1000, T)
BIN = T / 99


def read(text: str, **options: Any) -> Times | Failure:
    return parse(text, duration_s=options.pop("duration_s", T), **options)


def spans(text: str, **options: Any) -> list[tuple[float, float]]:
    found = read(text, **options)
    assert isinstance(found, Times), f"{text!r}: {found}"
    assert all(parsed.text == text[slice(*parsed.place)] for parsed in (*found.spans, *found.instants))
    return [(parsed.start_s, parsed.end_s) for parsed in found.spans]


# ------------------------------------------------------------------------------------------ with a unit

TOKENS = [
    "{<TEMP-012><TEMP-047>}",
    "It happens in {<TEMP-012><TEMP-047>}.",
    "<TEMP-012><TEMP-047>",
    "<TEMP-012> <TEMP-047>",
    "[<TEMP-012>, <TEMP-047>]",
    "(<TEMP-012>-<TEMP-047>)",
    "<TEMP-012> to <TEMP-047>",
    "<TEMP-012> and <TEMP-047>",
    "From <TEMP-012> until <TEMP-047>, a man runs.",
    "{<TEMP-012>} – {<TEMP-047>}",
    "<TEMP-012>\n<TEMP-047>",
    "It starts at <TEMP-012> and ends at <TEMP-047>.",
    "start: <TEMP-012>, end: <TEMP-047>",
    "<TEMP-005> - {<TEMP-012><TEMP-047>}",
    "between <TEMP-012> and <TEMP-047>",
    "<TEMP-12> to <TEMP-47>",  # spelled out, not as one token of the vocabulary
    "<think>First <TEMP-001><TEMP-002>?</think>{<TEMP-012><TEMP-047>}",
]


@pytest.mark.parametrize("text", TOKENS)
def test_time_tokens_are_read(text: str) -> None:
    found = read(text)
    assert isinstance(found, Times), str(found)
    assert [(parsed.bins, parsed.form) for parsed in found.spans] == [((12, 47), Form.TOKENS)]
    assert spans(text) == [(pytest.approx(12 * BIN), pytest.approx(47 * BIN))]


SECONDS = [
    "12.5 - 20.0 seconds",
    "from 12.5s to 20s",
    "12.5s-20s",
    "12.5s -20s",
    "12.5–20.0 s",
    "12.5 — 20.0 sec.",
    "12.5 secs → 20 secs",
    "12.5s --> 20s",
    "12.5s~20s",
    "~12.5s to ~20s",
    "12.5..20 seconds",
    "between 12.5 and 20 seconds",
    "between about 12.5 seconds and approximately 20 seconds",
    "[12.5s, 20.0s]",
    "**12.5s** to **20s**",
    "**12.5** to **20** seconds",
    "`12.5` - `20.0` seconds",
    "12.5\u00a0s \u2013 20\u00a0s",
    "12.5 seconds\nto 20 seconds",
    "The event starts at 12.5 seconds and ends at 20 seconds.",
    "It begins at around 12.5 s, when the man picks up 3 balls, and it stops at about 20 s.",
    "It starts at 12.5 s. It ends at 20 s.",
    "Start time: 12.5 seconds\nEnd time: 20.0 seconds",
    "Start Time (s): 12.5, End Time (s): 20.0",
    '{"start_sec": 12.5, "end_sec": 20.0}',
    "seconds: [12.5, 20.0]",
    "from second 12.5 to second 20",
    "12.5 to the 20 second mark",
    "from the 12.5-second mark to the 20-second mark",
    "The given query happens in 12.5 - 20.0 seconds.",
    "1. 12.5 - 20.0 seconds",
    "from 12.5s to 20",
    "<think>3 to 5 s? No.</think><answer>12.5 to 20.0 seconds</answer>",
    '<Thinking>3 to 5 s? No.</Thinking><Answer type="time">12.5 to 20.0 seconds</Answer>',
    "from 12500 ms to 20000 ms",
    "<12.5 seconds> to <20 seconds>",
    "The score is 3 - 2 at 12.5 - 20 seconds",
    "from 12.5 to 20 seconds, so it lasts 7.5 seconds",
    "1.25e1 to 2e1 seconds",
]


@pytest.mark.parametrize("text", SECONDS)
def test_seconds_are_read(text: str) -> None:
    assert spans(text) == [(pytest.approx(12.5), pytest.approx(20.0))]
    found = read(text)
    assert isinstance(found, Times)
    assert found.spans[0].form is Form.SECONDS


CLOCK = [
    "0:12 - 1:20",
    "00:12-01:20",
    "from 0:12 until 1:20",
    "[00:12 - 01:20] A man comes in",
    "00:00:12 to 00:01:20",
    "00:12.00 - 01:20.00s",
    "00:00:12,000 --> 00:01:20,000",
    '{"start_time": "00:12.00", "end_time": "01:20.00"}',
    '"relevant_windows": [["00:12", "01:20"]]',
    "The event starts at 0:12 and ends at 1:20.",
    "from 12 seconds to 1:20",
    "12 seconds to 1 minute 20 seconds",
    "from 0m12s to 1m20s",
    "between 12 s and 1 min and 20 s",
    "0:12 seconds to 1:20 minutes",
    "0:12\u20131:20 (a man comes in)",
]


@pytest.mark.parametrize("text", CLOCK)
def test_clock_times_are_read(text: str) -> None:
    assert spans(text) == [(12.0, 80.0)]
    found = read(text)
    assert isinstance(found, Times)
    assert found.spans[0].form is Form.CLOCK


@pytest.mark.parametrize(
    "text",
    [
        "12% - 47%",
        "12%\u201347%",
        "12 percent to 47 percent",
        "12 to 47%",
        "from 12 % until 47 %",
        "(12%, 47%)",
    ],
)
def test_percents_are_read(text: str) -> None:
    assert spans(text) == [(12.0, 47.0)]


@pytest.mark.parametrize(
    "text",
    [
        "frames 12 to 47",
        "frame 12 to frame 47",
        "Frames: 12-47",
        "from frame #12 until frame #47",
        "Frame12 - Frame47",
        "frames between 12 and 47",
        "12 to 47 frames",
        '{"start_frame": 12, "end_frame": 47}',
    ],
)
def test_frame_numbers_are_read_where_the_frames_are_known(text: str) -> None:
    assert spans(text, frames=FRAMES) == [(pytest.approx(1.2), pytest.approx(4.8))]  # 47 shows until 48 does
    found = read(text)
    assert isinstance(found, Failure)
    assert found.reason is Refusal.NO_FRAMES


def test_frame_numbers_follow_a_variable_rate() -> None:
    frames = FrameTimes((0.0, 0.1, 5.0, 5.1), T)
    assert spans("frames 1 to 2", frames=frames) == [(0.1, 5.1)]
    assert spans("frames 3 to 3", frames=frames) == [(5.1, T)]


def test_frame_numbers_that_the_video_does_not_have_are_refused() -> None:
    for text, reason in (
        ("frames 12.5 to 20", Refusal.NOT_WHOLE),
        ("frames 12 to 1000", Refusal.OUTSIDE),
        ("frames 20 to 12", Refusal.REVERSED),
        ("frame 12 to frame inf", Refusal.NOT_FINITE),
    ):
        found = read(text, frames=FRAMES)
        assert isinstance(found, Failure), text
        assert found.reason is reason, str(found)


@pytest.mark.parametrize(
    "text", ["0.12 to 0.47 of the video", "0.12 - 0.47 (of the whole video)", "fractions: 0.12-0.47"]
)
def test_fractions_with_words_for_them_are_read(text: str) -> None:
    assert spans(text) == [(12.0, 47.0)]


def test_several_spans_are_read() -> None:
    dense = "0.0 - 24.2 seconds, A person turns on the water. 24.2 - 30.5 seconds, a person leaves."
    assert spans(dense) == [(0.0, 24.2), (24.2, 30.5)]
    assert spans("12-20 seconds, 30-40 seconds") == [(12.0, 20.0), (30.0, 40.0)]
    assert spans("12-20, 30-40 seconds") == [(12.0, 20.0), (30.0, 40.0)]
    assert spans("12-20 seconds and 30-40") == [(12.0, 20.0), (30.0, 40.0)]
    assert spans("- 0:12 - 0:20: he runs\n- 0:30 - 0:40: he stops") == [(12.0, 20.0), (30.0, 40.0)]
    pairs = '[{"start": "0:12", "end": "0:20"}, {"start": "0:30", "end": "0:40"}]'
    assert spans(pairs) == [(12.0, 20.0), (30.0, 40.0)]
    assert spans("{<TEMP-000><TEMP-099>}, {<TEMP-000><TEMP-000>}") == [(0.0, T), (0.0, 0.0)]


# --------------------------------------------------------------------------------------- without a unit

BARE = [
    "12 - 20",
    "12 – 20",
    "from 12 to 20",
    "between 12 and 20",
    "[12, 20]",
    "[12,20]",
    "(12, 20)",
    "{12.0,20.0}",
    "12.0, 20.0",
    "12.0,20.0",
    "12\n20",
    "12 20",
    "<12.0> <20.0> Because the man falls.",
    "start: 12, end: 20",
    '{"start": 12.0, "end": 20.0}',
    "starts at 12 and ends at 20",
    "Answer: 12 to 20.",
    "<answer>12 to 20</answer>",
]


@pytest.mark.parametrize("text", BARE)
def test_numbers_without_a_unit_have_the_unit_that_the_caller_gives(text: str) -> None:
    found = read(text)
    assert isinstance(found, Failure)
    assert found.reason is Refusal.NO_UNIT
    assert spans(text, bare=Form.SECONDS, duration_s=200.0) == [(12.0, 20.0)]
    assert spans(text, bare=Form.PERCENTS, duration_s=200.0) == [(24.0, 40.0)]
    outside = read(text, bare=Form.FRACTIONS)
    assert isinstance(outside, Failure)
    assert outside.reason is Refusal.OUTSIDE


def test_numbers_without_a_unit_may_be_fractions_or_frames() -> None:
    text = "{0.12121,0.47475}"  # as UFVideo's own script writes time tokens
    found = read(text)
    assert isinstance(found, Failure)
    assert (found.reason, "seconds or fractions" in found.detail) == (Refusal.NO_UNIT, True)
    assert spans(text, bare=Form.FRACTIONS) == [(pytest.approx(12.121), pytest.approx(47.475))]
    assert spans(text, bare=Form.SECONDS) == [(0.12121, 0.47475)]
    assert spans("12 to 47", bare=Form.FRAMES, frames=FRAMES) == [(pytest.approx(1.2), pytest.approx(4.8))]
    # The given unit applies only to numbers without a unit.
    assert spans("12 to 47%", bare=Form.SECONDS) == [(12.0, 47.0)]


@pytest.mark.parametrize(
    "text",
    [
        "12,5 s - 20,0 s",
        "12,5 s bis 20,0 s",
        "von 12,5 bis 20,0 Sekunden",
        "12,5 - 20,0 seconds",
        "zwischen 12,5 und 20,0 Sekunden",
        "It starts at 12,5 s and ends at 20,0 s.",
        "**12,5 s** → **20,0 s**",
    ],
)
def test_a_decimal_comma_at_both_ends_is_read(text: str) -> None:
    assert spans(text) == [(12.5, 20.0)]
    assert spans("0,125 - 0,475 s") == [(0.125, 0.475)]  # thousands never begin with 0
    assert spans("12,5 - 20,0 s", duration_s=19.96) == [(12.5, 19.96)]  # rounded to a tenth, as with a point


@pytest.mark.parametrize(
    "text",
    [
        "from 12 seconds to the end",
        "from 12 s to the end of the video.",
        "12 s until the very end",
        "0:12 until the end of this clip",
        "0:12 - end",
        "12 s to end, he runs",
        "It starts at 12 s and continues until the end of the video.",
        "It begins at 0:12 and ends at the end of the video.",
        "From 12 seconds on he counts until the end.",
        "12% to the end",
        "[0:12 - end]",
    ],
)
def test_words_for_the_end_are_read(text: str) -> None:
    assert spans(text) == [(12.0, T)]
    assert spans("frame 12 to the end", frames=FRAMES) == [(pytest.approx(1.2), T)]
    assert spans("from 12 to the end", bare=Form.SECONDS) == [(12.0, T)]
    found = read("<TEMP-012> to the end")
    assert isinstance(found, Times)
    assert found.spans[0].bins == (12, 99)


@pytest.mark.parametrize(
    "text",
    [
        "from the beginning until 5 s",
        "From the start of the video to 5 seconds, he runs.",
        "from the very beginning up to 0:05",
        "It starts at the beginning of the video and ends at 5 s.",
        "from the beginning to about 5 s",
        "from the start – 5 s",
    ],
)
def test_words_for_the_beginning_are_read(text: str) -> None:
    assert spans(text) == [(0.0, 5.0)]
    assert spans("from the beginning to frame 12", frames=FRAMES) == [(0.0, pytest.approx(1.3))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("From the start at 5 s to the end at 10 s", (5.0, 10.0)),
        ("starts at 5 s, to the end (10 s)", (5.0, 10.0)),
        ("0:05 - 0:10 - end", (5.0, 10.0)),
        ("from 5 s to 10 s, then he walks until the end", (5.0, 10.0)),
        ("from the beginning, he runs from 5 s to 10 s", (5.0, 10.0)),
        ("from 5 s up to 10 s", (5.0, 10.0)),
        ("Save up to 5-70%: shown from 5 to 10 s", (5.0, 10.0)),
    ],
)
def test_words_for_beginning_and_end_do_not_replace_a_time(text: str, expected: tuple[float, float]) -> None:
    assert spans(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In the clip (0-30s) the action is at 12.5-20.0s", [(12.5, 20.0)]),
        ("The action is at 12.5-20.0s of the video [0:00 - 0:30].", [(12.5, 20.0)]),
        ("In the whole **video** (0:00-0:30), he falls from 12.5 to 20 s.", [(12.5, 20.0)]),
        ("The video runs from 0 to 100 s. He falls at 12.5-20.0s.", [(12.5, 20.0)]),
        ("Video: 0:00-1:40\nAnswer: 12.5 - 20 s", [(12.5, 20.0)]),
        # a description of the video is the answer if there is no other span, or none within it
        ("The clip (0-30s) shows it.", [(0.0, 30.0)]),
        ("The clip (0-5 s) and the clip (7-9 s)", [(0.0, 5.0), (7.0, 9.0)]),
        ("He walks throughout the video (0-30 s) and jumps at 12-20 s", [(0.0, 30.0), (12.0, 20.0)]),
        ("He walks (0-30 s) and jumps at 12-20 s", [(0.0, 30.0), (12.0, 20.0)]),
        ("The action (0-30 s) is in the clip at 12-20 s", [(0.0, 30.0), (12.0, 20.0)]),
        ("The video runs from 0 to 30 s. He falls at 12-20 s.", [(0.0, 30.0), (12.0, 20.0)]),  # of 100 s
        ("0-100 s: he walks. 12-20 s: he jumps.", [(0.0, 100.0), (12.0, 20.0)]),
    ],
)
def test_a_pair_that_describes_the_video_is_not_the_answer(
    text: str, expected: list[tuple[float, float]]
) -> None:
    assert spans(text) == expected


# ---------------------------------------------------------------------------------------------- refusals

REFUSED = [
    ("", Refusal.NO_TIME),
    ("I cannot find this event in the video.", Refusal.NO_TIME),
    ("{}", Refusal.NO_TIME),  # what remains if a tokenizer drops the time tokens
    ("{ to }", Refusal.NO_TIME),
    ("None", Refusal.NO_TIME),
    ("The 2 men and 3 women play with 4 balls.", Refusal.NO_TIME),
    ("It lasts 8 seconds.", Refusal.NO_TIME),
    ("For 8 seconds.", Refusal.NO_TIME),
    ("32 frames", Refusal.NO_TIME),
    ("He runs for 5 to 10 seconds.", Refusal.NO_TIME),
    ("He falls 2-3 seconds later.", Refusal.NO_TIME),
    ("<think>maybe 3 to 5 seconds, or", Refusal.NO_TIME),  # cut off before the answer
    ("\uff11\uff12 to \uff12\uff10 seconds", Refusal.NO_TIME),  # full-width digits
    ("The event happens at <TEMP-012>.", Refusal.ONE_TIME),
    ("at 12 seconds", Refusal.ONE_TIME),
    ("0:12", Refusal.ONE_TIME),
    ("12.5", Refusal.ONE_TIME),
    ("from 12 seconds to the end of the street", Refusal.ONE_TIME),
    ("from 12 seconds to the end credits", Refusal.ONE_TIME),
    ("At 12 seconds he falls. In the end he stands.", Refusal.ONE_TIME),
    ("12 seconds before the end", Refusal.NO_TIME),
    ("from the beginning to the end", Refusal.NO_TIME),
    ("32 frames to the end", Refusal.NO_TIME),
    ("from 120 seconds to the end", Refusal.OUTSIDE),
    ("from 12 to the end", Refusal.NO_UNIT),
    ("from the beginning until 5", Refusal.NO_UNIT),
    ("from the start, at 5 s, he runs", Refusal.ONE_TIME),
    ("for 8 seconds until the end", Refusal.NO_TIME),
    ("<TEMP-012>-from the beginning to ", Refusal.ONE_TIME),
    ("to the end - 12 s", Refusal.ONE_TIME),
    ("save up to 5-70%", Refusal.NO_TIME),
    ("up to 5-70 seconds", Refusal.NO_TIME),
    ("From 12 seconds on he counts until 20.", Refusal.ONE_TIME),  # until the number 20
    ("Starts in <TEMP-005>. He walks. Starts in <TEMP-041>.", Refusal.NO_PAIR),
    ("At 0:12, 0:15 and 0:20", Refusal.NO_PAIR),
    ("- 0:12\n- 0:20", Refusal.NO_PAIR),
    ("{<TEMP-047><TEMP-012>}", Refusal.REVERSED),
    ("20 to 12 seconds", Refusal.REVERSED),
    ("from 1:20 to 0:12", Refusal.REVERSED),
    ("between 1 minute and 20 seconds", Refusal.REVERSED),
    ("90 to 120 seconds", Refusal.OUTSIDE),
    ("12% - 101%", Refusal.OUTSIDE),
    ("1:20 - 1:50", Refusal.OUTSIDE),
    ("-5 to 10 seconds", Refusal.OUTSIDE),
    ("from \u22125 s to 10 s", Refusal.OUTSIDE),
    ("[-5s, 10s]", Refusal.OUTSIDE),
    ("from nan to inf seconds", Refusal.NOT_FINITE),
    ("NaN - NaN", Refusal.NOT_FINITE),
    ("12 - inf seconds", Refusal.NOT_FINITE),
    ("9" * 400 + " to 20 seconds", Refusal.NOT_FINITE),
    ("12 – 20", Refusal.NO_UNIT),
    ("0.12 to 0.47", Refusal.NO_UNIT),
    ("from 1,200 to 1,500 seconds", Refusal.AMBIGUOUS),
    ("12,500 s - 20,000 s", Refusal.AMBIGUOUS),  # thousands or decimals
    ("12,5 s - 20 s", Refusal.AMBIGUOUS),  # a comma at one end may separate a list
    ("12 to 15,20 seconds", Refusal.AMBIGUOUS),
    ("0-5,10-15,20-25 s", Refusal.AMBIGUOUS),
    ("1,5,7 to 2,5,8 seconds", Refusal.AMBIGUOUS),
    ("3, 5", Refusal.NO_UNIT),
    ("12,20", Refusal.AMBIGUOUS),
    ("0:12 to 20", Refusal.AMBIGUOUS),
    ("12:30 seconds to 13:30 seconds", Refusal.AMBIGUOUS),
    ("from 1 min 20 to 1 min 30", Refusal.AMBIGUOUS),
    ("from 3 m to 5 m", Refusal.AMBIGUOUS),
    ("1 - 12.5 - 20.0 seconds", Refusal.AMBIGUOUS),
    ("2024-05-12", Refusal.AMBIGUOUS),
    ("[120, 40, 300, 200]", Refusal.AMBIGUOUS),
    ("from the 12th frame to the 20th frame", Refusal.AMBIGUOUS),
    ("frames 12 to 47", Refusal.NO_FRAMES),
    ("0:75 to 0:90", Refusal.BAD_CLOCK),
    ("00:00:12:15 - 00:00:20:10", Refusal.BAD_CLOCK),
    ("{<TEMP-120><TEMP-130>}", Refusal.BAD_TOKEN),
    ("<time_token_22> <time_token_28> pick the ends off", Refusal.BAD_TOKEN),
    ("<TIME_STAMP>", Refusal.BAD_TOKEN),
    ("from <s0> to <e0>", Refusal.BAD_TOKEN),
    ("from frame 12 to 20 seconds", Refusal.MIXED),
    ("<TEMP-012> to 47%", Refusal.MIXED),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_texts_without_a_clear_span_are_refused_with_a_reason(text: str, reason: Refusal) -> None:
    found = read(text)
    assert isinstance(found, Failure), found
    assert found.reason is reason, str(found)
    assert len(found.detail) <= 120
    if found.place:
        assert text[slice(*found.place)].strip()


def test_one_invalid_span_refuses_the_text_and_the_others_are_returned() -> None:
    found = read("0:12 - 0:20 and 0:40 - 0:30 and 0:50 - 0:55")
    assert isinstance(found, Failure)
    assert (found.reason, found.detail) == (Refusal.REVERSED, "0:40 - 0:30")
    assert [(parsed.start_s, parsed.end_s) for parsed in found.rest] == [(12.0, 20.0), (50.0, 55.0)]


def test_numbers_that_are_not_times_are_returned_as_unread() -> None:
    found = read("The score is 3 - 2 at 12 - 20 seconds, which is 8 seconds; it is a 16:10 video.")
    assert isinstance(found, Times)
    assert found.unread == ("3 - 2", "8 seconds", "16:10")


# ---------------------------------------------------------------------------------- policies, instants


def test_spans_are_clamped_only_if_requested_and_are_marked() -> None:
    found = read("90 to 120 seconds", outside=Outside.CLAMP)
    assert isinstance(found, Times)
    (parsed,) = found.spans
    assert (parsed.start_s, parsed.end_s, parsed.clamped, parsed.moved_s) == (90.0, 100.0, True, 20.0)
    assert spans("-5 to 10 seconds", outside=Outside.CLAMP) == [(0.0, 10.0)]
    assert spans("frames 990 to 2000", frames=FRAMES, outside=Outside.CLAMP) == [(99.0, 100.0)]
    for text in (
        "110 to 120 seconds",
        "-20 s to -10 s",
        "frames 1000 to 2000",
        "20 to 12 seconds",
        "nan to 3 s",
    ):
        assert isinstance(read(text, frames=FRAMES, outside=Outside.CLAMP), Failure), text


def test_an_end_rounded_beyond_the_video_is_its_end_and_not_clamped() -> None:
    found = read("from 20 to 31 seconds", duration_s=30.6)
    assert isinstance(found, Times)
    (parsed,) = found.spans
    assert (parsed.end_s, parsed.clamped, round(parsed.moved_s, 6)) == (30.6, False, 0.4)
    for text in ("20.0 to 31.0 seconds", "20 to 32 seconds", "0 minutes to 2 minutes", "20 to 101%"):
        assert isinstance(read(text, duration_s=30.6), Failure), text


INSTANTS = [
    ("The event happens at <TEMP-012>.", [12 * BIN]),
    ("Starts in <TEMP-005>. He walks. Starts in <TEMP-041>.", [5 * BIN, 41 * BIN]),
    ("12.5 seconds", [12.5]),
    ("at 12.5 s", [12.5]),
    ("It happens 12.5 seconds into the video.", [12.5]),
    ("at the 12 second mark", [12.0]),
    ("It starts at 0:12.5.", [12.5]),
    ("At 0:12, 0:15 and 0:20", [12.0, 15.0, 20.0]),
    ("- 0:12 he runs\n- 0:20 he stops", [12.0, 20.0]),
    ("at 12.1%", [12.1]),
    ("frame 12", [1.2]),
    ("at 0:12 the score is 3 - 2", [12.0]),
]


@pytest.mark.parametrize(("text", "times"), INSTANTS)
def test_instants_are_read(text: str, times: list[float]) -> None:
    found = read(text, instants=True, frames=FRAMES)
    assert isinstance(found, Times), str(found)
    assert [parsed.start_s for parsed in found.instants] == pytest.approx(times)
    assert all(parsed.instant and parsed.end_s == parsed.start_s for parsed in found.instants)
    assert found.spans == ()


def test_instants_are_read_beside_spans_and_without_a_unit() -> None:
    text = "{<TEMP-012><TEMP-047>}, then <TEMP-050>"
    found = read(text, instants=True)
    assert isinstance(found, Times)
    assert (len(found.spans), [parsed.bins for parsed in found.instants]) == (1, [(50, 50)])
    assert isinstance(read(text), Times)
    bare = read("at 12.5", instants=True, bare=Form.SECONDS)
    assert isinstance(bare, Times)
    assert bare.instants[0].start_s == 12.5
    for text, reason in (
        ("at 12.5", Refusal.NO_UNIT),
        ("<TEMP-120>", Refusal.BAD_TOKEN),
        ("1:50", Refusal.OUTSIDE),
    ):
        failed = read(text, instants=True)
        assert isinstance(failed, Failure)
        assert failed.reason is reason


def test_invalid_arguments_are_refused() -> None:
    for form in set(Form) - set(BARE_FORMS):
        with pytest.raises(ValueError, match="bare numbers"):
            read("1 to 2", bare=form)
    for duration_s in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cannot last"):
            read("1 to 2 s", duration_s=duration_s)
    with pytest.raises(ValueError, match="frames of"):
        read("frames 1 to 2", duration_s=50.0, frames=FRAMES)


# ------------------------------------------------------------------------------------------- any text

PIECES = [
    *"0123456789:.,-–%<>[]{}() \n'\"~eE@#",
    *(
        "<TEMP-",
        "<TEMP-012>",
        "<time_token_3>",
        "nan",
        "inf",
        " to ",
        " until ",
        " and ",
        "between ",
        "from ",
    ),
    *(
        "starts at ",
        "ends at ",
        "seconds",
        " s",
        "m",
        "min",
        "h",
        "frame ",
        "frames",
        " of the video",
        "0:12",
    ),
    *("the end", "from the beginning", "up to ", "the clip (", "12,5", "bis "),
    *("<answer>", "</answer>", "<think>", "</think>", "12.5", "th", "-->", "…", "für", "秒", "\u0660"),
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=60),
    st.sampled_from([None, *BARE_FORMS]),
    st.sampled_from(Outside),
    st.booleans(),
)
@settings(max_examples=600, deadline=None)
def test_any_text_is_read_or_refused_and_its_times_are_in_the_video(
    text: str, bare: Form | None, outside: Outside, instants: bool
) -> None:
    found = read(text, bare=bare, outside=outside, instants=instants, frames=FRAMES)
    if isinstance(found, Failure):
        parsed = found.rest
        assert found.reason in Refusal
    else:
        parsed = (*found.spans, *found.instants)
        assert found.spans or instants
        assert parsed
    for one in parsed:
        assert isinstance(one, ParsedSpan)
        assert 0 <= one.start_s <= one.end_s <= T
        assert one.text == text[slice(*one.place)]
        assert not one.clamped or outside is Outside.CLAMP
        span = one.span(T)
        assert 0 <= span.start_bin <= span.end_bin <= 99


ADVERSARIAL = {
    "digits": "1",
    "dashes": "-",
    "signs": "1-",
    "colons": "1:",
    "clocks": "0:12-",
    "dots": "1.",
    "spaces": "1 \t",
    "angles": "<",
    "tokens": "<TEMP-",
    "brackets": "([{<",
    "commas": "1,",
    "words": "a-",
    "units": "1h1m1s",
    "minutes": "1 minute and ",
    "exponents": "1e",
    "froms": "from 1 ",
    "starts": "starts at 1 2 3 4 5 6 7 8 9 ",
    "quotes": '"start": 1, ',
    "answers": "<answer>1-",
    "lines": "- 1\n",
    "ends": "from 1 s to the end. ",
    "beginnings": "from the beginning ",
    "clips": "the clip (1-2 s) ",
    "decimals": "1,5 s to 2,5 s ",
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_long_repetitive_texts_are_read_in_bounded_time(name: str) -> None:
    piece = ADVERSARIAL[name]
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    assert _cpu_s(text) < 20  # a backtracking pattern would take hours; linear ones take under a second


def test_the_time_grows_linearly_with_the_length() -> None:
    signs = random.Random(7)
    text = "".join(signs.choice("0123456789:.,-–<>[]{}()% \nsmtoandTEMP") for _ in range(100_000))
    short = min(_cpu_s(text[:12_500]) for _ in range(3))
    assert _cpu_s(text) < 24 * short  # 8 times the text; quadratic time would be 64 times as long


def _cpu_s(text: str) -> float:
    gc.disable()  # garbage of other tests must not be collected during this measurement
    try:
        begun = time.process_time()
        read(text, bare=Form.SECONDS, instants=True)
        return time.process_time() - begun
    finally:
        gc.enable()


def test_the_documentation_names_every_form_and_every_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "temporal.md").read_text()
    shown = {re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`\n]+)`", page)}
    assert {form.value for form in Form} <= shown
    assert {reason.name for reason in Refusal} <= shown
