"""A text that is nothing but one span is read at once, with the result of the general way."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records.sample import TimeSpan
from pipeline.times import parser, temporal
from pipeline.times.frame_times import FrameTimes
from pipeline.times.plain_pair import plain_pair
from pipeline.times.temporal import Outside
from pipeline.times.text import Form, write_as

T = 29.97  # "30.0" stands for its end, "30.00" is outside
FRAMES = FrameTimes.even(300, T)
NUMBERS = ("0", "0.5", "1", "3.0", "007", "12.345678", "29.96", "30", "30.0", "30.00", "31.5", "99999")
UNITS = ("", " s", " sec", " seconds")


def both(text: str) -> tuple[list[object], list[object]]:
    """What the two ways read in a text, for each kind of bare number and of time outside the video."""
    read = []
    for general in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if general:
                patch.setattr(parser, "plain_pair", lambda text: None)
                patch.setattr(parser, "plain_span", lambda text, duration_s: None)
            read.append(
                [
                    parser.parse(
                        text, duration_s=T, frames=FRAMES, bare=bare, outside=outside, instants=instants
                    )
                    for bare in (None, *parser.BARE_FORMS)
                    for outside in (Outside.REFUSE, Outside.CLAMP)
                    for instants in (False, True)
                ]
            )
    return read[0], read[1]


def test_every_kind_of_number_and_unit() -> None:
    count = 0
    for lead, a, a_unit, join, b, b_unit, stop in product(
        ("From ",), NUMBERS, UNITS[::2], (" to ", " - "), NUMBERS, UNITS[::3], ("", ".")
    ):
        text = f"{lead}{a}{a_unit}{join}{b}{b_unit}{stop}"
        assert plain_pair(text) is not None, text
        fast, general = both(text)
        assert fast == general, text
        count += 1
    assert count == 12 * 2 * 2 * 12 * 2 * 2


@pytest.mark.parametrize(
    "text", ["{<TEMP-012><TEMP-047>}", "<TEMP-047><TEMP-012>.", "{<TEMP-000><TEMP-099>}"]
)
def test_time_tokens(text: str) -> None:
    assert plain_pair(text) is not None
    fast, general = both(text)
    assert fast == general


def test_what_is_written_as_seconds_or_tokens_is_plain() -> None:
    span: TimeSpan = temporal.span(3.2, 17.04, T)
    for form in (Form.SECONDS, Form.TOKENS, Form.FRACTIONS):
        assert plain_pair(write_as(span, form, duration_s=T)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", "12 - 20s.", "12 -20 s", "12-20 s", "1:12 to 20 s", "12,5 to 20 s", "from 3 to 5 to 7 s",
        "<TEMP-112><TEMP-120>", "{<TEMP-012><TEMP-047>", "<answer>3 to 5 s</answer>", "3 to 5 minutes",
        "3 to 5 s\n", "٣ to 5 s", "3 to 5 s..", "for 3 to 5 s", "FROM 3 to 5 s",
    ],
)  # fmt: skip
def test_any_other_text_takes_the_general_way(text: str) -> None:
    assert plain_pair(text) is None


PIECES = st.sampled_from(
    [
        "From ",
        "from ",
        "to",
        "-",
        " ",
        "  ",
        "s",
        "sec",
        "seconds",
        ".",
        ",",
        "<TEMP-012>",
        "{",
        "}",
        "1:",
        "e5",
        "\n",
    ]
)
NUMBER = st.one_of(st.integers(0, 40).map(str), st.floats(0, 40).map(lambda x: f"{x:.2f}"))


@settings(max_examples=1000)
@given(st.lists(st.one_of(PIECES, NUMBER), max_size=9).map("".join))
def test_random_texts(text: str) -> None:
    fast, general = both(text)
    assert fast == general


@settings(max_examples=1000)
@given(
    NUMBER,
    st.sampled_from(UNITS),
    st.sampled_from([" to ", " - ", " to  ", "-"]),
    NUMBER,
    st.sampled_from(UNITS),
)
def test_random_spans(a: str, a_unit: str, join: str, b: str, b_unit: str) -> None:
    fast, general = both(a + a_unit + join + b + b_unit)
    assert fast == general
