"""Times written in every form are read back by the parser with an error of at most ``written_error_s``."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records.sample import TimeSpan
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes
from pipeline.times.parser import Failure, ParsedSpan, Times, parse
from pipeline.times.text import DECIMALS, Form, write_as, write_instant_as, written_error_s
from tests.pipeline.odd_frames import variable_frames

BARE = {Form.FRACTIONS: Form.FRACTIONS}  # the one form that is written without a unit
SHARES = st.floats(0, 1)
SENTENCES = ("{}", "It happens from {}.", "The answer is **{}**, I think.", "A man runs ({})\nand stops.")


def read(text: str, form: Form, frames: FrameTimes, *, instants: bool = False) -> Times:
    read_ = parse(text, duration_s=frames.duration_s, frames=frames, bare=BARE.get(form), instants=instants)
    assert isinstance(read_, Times), (text, str(read_))
    return read_


@given(st.data())
@settings(max_examples=500, deadline=None)
def test_a_span_is_read_back_in_every_form(data: st.DataObject) -> None:
    frames = data.draw(variable_frames())
    duration_s, form = frames.duration_s, data.draw(st.sampled_from(Form))
    decimals = data.draw(st.none() | st.integers(0, 6)) if form in DECIMALS else None
    start_s, end_s = sorted(data.draw(SHARES) * duration_s for _ in range(2))
    span = temporal.span(start_s, end_s, duration_s)
    written = write_as(span, form, duration_s=duration_s, frames=frames, decimals=decimals)
    sentence = data.draw(st.sampled_from(SENTENCES)).format(written)
    (parsed,) = read(sentence, form, frames).spans
    worst_s = written_error_s(form, duration_s, frames=frames, decimals=decimals) + 3 * temporal.NOISE_S
    assert parsed.form is form
    assert not parsed.clamped
    assert abs(parsed.start_s - start_s) <= worst_s, sentence
    assert abs(parsed.end_s - end_s) <= worst_s, sentence
    again = parsed.span(duration_s)
    assert write_as(again, form, duration_s=duration_s, frames=frames, decimals=decimals) == written


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_an_instant_is_read_back_in_every_form(data: st.DataObject) -> None:
    frames = data.draw(variable_frames())
    duration_s, form = frames.duration_s, data.draw(st.sampled_from(Form))
    at_s = data.draw(SHARES) * duration_s
    instant = temporal.span(at_s, at_s, duration_s)
    written = write_instant_as(instant, form, duration_s=duration_s, frames=frames)
    sentence = data.draw(st.sampled_from(("{}", "Starts at {}."))).format(written)
    read_ = read(sentence, form, frames, instants=True)
    (parsed,) = read_.instants
    assert (read_.spans, parsed.instant, parsed.form, parsed.start_s) == ((), True, form, parsed.end_s)
    assert (
        abs(parsed.start_s - at_s) <= written_error_s(form, duration_s, frames=frames) + 3 * temporal.NOISE_S
    )


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=5), st.data())
@settings(max_examples=300, deadline=None)
def test_tokens_are_read_as_the_codec_reads_them(bins: list[tuple[int, int]], data: st.DataObject) -> None:
    shapes = ("{%s%s}", "%s%s", "[%s, %s]", "%s to %s", "(%s-%s)", "%s and %s", "%s\n%s", "%s - %s")
    text = " Then he runs. ".join(
        data.draw(st.sampled_from(shapes)) % (temporal.token(min(ab)), temporal.token(max(ab))) for ab in bins
    )
    read_ = parse(text, duration_s=60.0)
    assert isinstance(read_, Times), text
    assert (
        [parsed.bins for parsed in read_.spans] == temporal.read(text) == [(min(ab), max(ab)) for ab in bins]
    )


@pytest.mark.parametrize(
    ("form", "span", "instant"),
    [
        (Form.TOKENS, "{<TEMP-012><TEMP-047>}", "<TEMP-012>"),
        (Form.SECONDS, "12.1 - 47.5 seconds", "12.1 seconds"),
        (Form.CLOCK, "0:12.1 - 0:47.5", "0:12.1"),
        (Form.FRACTIONS, "0.121 to 0.475", "0.121"),
        (Form.FRAMES, "frames 121 to 474", "frame 121"),
        (Form.PERCENTS, "12.1% - 47.5%", "12.1%"),
    ],
)
def test_each_form_is_written_as_documented(form: Form, span: str, instant: str) -> None:
    frames = FrameTimes.even(1000, 100.0)
    start_s, end_s = (temporal.to_seconds(b, 100.0) for b in (12, 47))
    made = temporal.span(start_s, end_s, 100.0)
    assert write_as(made, form, duration_s=100.0, frames=frames) == span
    at = temporal.span(start_s, start_s, 100.0)
    assert write_instant_as(at, form, duration_s=100.0, frames=frames) == instant


@pytest.mark.parametrize(
    ("seconds", "decimals", "written"),
    [
        (0.0, 0, "0:00"),
        (59.96, 1, "1:00.0"),  # never 0:60.0
        (59.5, 0, "1:00"),
        (0.25, 1, "0:00.3"),  # halves up, not to even
        (3599.99, 1, "1:00:00.0"),
        (3661.5, 1, "1:01:01.5"),
    ],
)
def test_clock_times_are_rounded_half_up(seconds: float, decimals: int, written: str) -> None:
    instant = temporal.span(seconds, seconds, 4000.0)
    assert write_instant_as(instant, Form.CLOCK, duration_s=4000.0, decimals=decimals) == written


def test_times_in_a_clip_are_relative_to_the_clip() -> None:
    span = temporal.span(2.0, 4.0, 10.0, clip_start_s=100.0)
    assert write_as(span, Form.SECONDS, duration_s=10.0, clip_start_s=100.0) == "2.0 - 4.0 seconds"
    read_ = parse("2.0 - 4.0 seconds", duration_s=10.0)
    assert isinstance(read_, Times)
    assert read_.spans[0].span(10.0, clip_start_s=100.0) == span


def test_an_end_rounded_beyond_the_video_is_read_back_as_the_end() -> None:
    span = temporal.span(10.0, 30.46, 30.46)
    written = write_as(span, Form.SECONDS, duration_s=30.46)
    assert written == "10.0 - 30.5 seconds"
    read_ = parse(written, duration_s=30.46)
    assert isinstance(read_, Times)
    parsed = read_.spans[0]
    assert (parsed.end_s, parsed.clamped) == (30.46, False)
    assert parsed.moved_s == pytest.approx(0.04)
    assert isinstance(parse("10.0 - 30.6 seconds", duration_s=30.46), Failure)


def test_the_error_of_each_form_is_known() -> None:
    frames = FrameTimes((0.0, 0.1, 2.0), 3.0)
    assert written_error_s(Form.TOKENS, 198.0) == 1.0
    assert written_error_s(Form.SECONDS, 60.0) == pytest.approx(0.05)
    assert written_error_s(Form.CLOCK, 60.0, decimals=0) == pytest.approx(0.5)
    assert written_error_s(Form.FRACTIONS, 60.0) == pytest.approx(0.03)
    assert written_error_s(Form.PERCENTS, 60.0) == pytest.approx(0.03)
    assert written_error_s(Form.FRAMES, 3.0, frames=frames) == pytest.approx(1.9)


def test_times_that_cannot_be_written_are_refused() -> None:
    span = temporal.span(1.0, 2.0, 10.0)
    with pytest.raises(ValueError, match="need the frames"):
        write_as(span, Form.FRAMES, duration_s=10.0)
    with pytest.raises(ValueError, match="outside"):
        write_as(span, Form.SECONDS, duration_s=1.5)
    with pytest.raises(ValueError, match="outside"):
        write_as(span, Form.SECONDS, duration_s=10.0, clip_start_s=1.5)
    reversed_ = TimeSpan(start_s=2.0, end_s=1.0, start_bin=20, end_bin=10)
    with pytest.raises(ValueError, match="before it starts"):
        write_as(reversed_, Form.SECONDS, duration_s=10.0)
    with pytest.raises(ValueError, match="ends where it starts"):
        write_instant_as(span, Form.CLOCK, duration_s=10.0)
    with pytest.raises(ValueError, match="decimals"):
        write_as(span, Form.SECONDS, duration_s=10.0, decimals=-1)


def test_a_span_read_from_tokens_keeps_their_bins() -> None:
    read_ = parse("{<TEMP-012><TEMP-047>}", duration_s=7.3)
    assert isinstance(read_, Times)
    parsed = read_.spans[0]
    assert isinstance(parsed, ParsedSpan)
    span = parsed.span(7.3, clip_start_s=5.0)
    assert (span.start_bin, span.end_bin) == (12, 47)
    assert span.start_s == 5.0 + temporal.to_seconds(12, 7.3)
