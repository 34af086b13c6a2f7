"""Bins, frames and clocks: times are recovered within the documented error."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.media import video
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes
from pipeline.times.temporal import Outside
from tests.pipeline.odd_frames import variable_frames

DURATIONS = st.floats(0.04, 36_000)
SHARES = st.floats(0, 1)
EXACT = 1 + 1e-9  # documented errors hold up to floating-point rounding


# ------------------------------------------------------------------------------------------------- bins


@given(DURATIONS, SHARES)
@settings(max_examples=500, deadline=None)
def test_seconds_are_recovered_from_bins_within_half_a_bin(duration_s: float, share: float) -> None:
    time_s = min(share * duration_s, duration_s)
    back_s = temporal.to_seconds(temporal.to_bin(time_s, duration_s), duration_s)
    assert abs(back_s - time_s) <= temporal.max_error_s(duration_s) * EXACT


@given(DURATIONS)
@settings(deadline=None)
def test_every_bin_is_recovered_from_its_seconds(duration_s: float) -> None:
    bins = range(temporal.NUM_BINS)
    assert [temporal.to_bin(temporal.to_seconds(b, duration_s), duration_s) for b in bins] == list(bins)


def test_the_last_bin_is_exactly_the_end() -> None:
    duration_s = 1324.8202104725335  # times 99, divided by 99, it is larger than before
    assert duration_s * 99 / 99 > duration_s
    assert temporal.to_seconds(99, duration_s) == duration_s


def test_the_largest_error_is_reached_and_halves_round_up() -> None:
    assert temporal.max_error_s(198.0) == 1.0
    assert [temporal.to_bin(t, 198.0) for t in (0.999, 1.0, 1.001, 2.999, 3.0)] == [0, 1, 1, 1, 2]
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot last"):
            temporal.max_error_s(bad)


@given(DURATIONS, SHARES, SHARES)
@settings(max_examples=300, deadline=None)
def test_a_span_in_bins_keeps_the_documented_overlap(duration_s: float, one: float, other: float) -> None:
    start_s, end_s = sorted((one * duration_s, other * duration_s))
    span = temporal.span(start_s, end_s, duration_s)
    back = tuple(temporal.to_seconds(b, duration_s) for b in (span.start_bin, span.end_bin))
    if end_s - start_s > duration_s / temporal.LAST_BIN:
        documented = 1 - duration_s / (temporal.LAST_BIN * (end_s - start_s))
        assert temporal.iou((start_s, end_s), (back[0], back[1])) >= documented - 1e-9


def test_times_outside_are_refused_unless_they_are_clamped() -> None:
    for bad in (-0.01, 10.01):
        with pytest.raises(ValueError, match="outside"):
            temporal.to_bin(bad, 10.0)
        with pytest.raises(ValueError, match="outside"):
            temporal.inside(bad, 10.0)
    assert [temporal.to_bin(t, 10.0, Outside.CLAMP) for t in (-3.0, 30.0)] == [0, 99]
    assert temporal.inside(30.0, 10.0, Outside.CLAMP) == (10.0, True)
    assert temporal.inside(10.0000001, 10.0) == (10.0, False)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused_even_with_clamping(bad: float) -> None:
    with pytest.raises(ValueError, match="in a video of"):
        temporal.to_bin(bad, 10.0, Outside.CLAMP)
    with pytest.raises(ValueError, match="in a video of"):
        temporal.inside(bad, 10.0, Outside.CLAMP)
    with pytest.raises(ValueError, match="in a video of"):
        temporal.to_bin(1.0, bad)


@given(variable_frames(), st.data())
@settings(max_examples=300, deadline=None)
def test_frames_are_recovered_exactly_from_their_seconds(frames: FrameTimes, data: st.DataObject) -> None:
    some = st.integers(0, frames.num_frames - 1)
    first, last = sorted((data.draw(some), data.draw(some)))
    start_s, end_s = frames.span_s(first, last)
    assert 0 <= start_s < end_s <= frames.duration_s
    assert frames.frames_in(start_s, end_s) == (first, last)
    assert frames.frame_at(start_s) == first


@given(variable_frames(), SHARES, SHARES)
@settings(max_examples=300, deadline=None)
def test_seconds_are_recovered_from_frames_within_the_longest_frame(
    frames: FrameTimes, one: float, other: float
) -> None:
    start_s, end_s = sorted((one * frames.duration_s, other * frames.duration_s))
    first, last = frames.frames_in(start_s, end_s)
    back_start_s, back_end_s = frames.span_s(first, last)
    worst_s = frames.longest_s + 2 * temporal.NOISE_S
    assert abs(back_start_s - start_s) <= worst_s
    assert abs(back_end_s - end_s) <= worst_s


@given(variable_frames(), SHARES)
@settings(deadline=None)
def test_the_frame_at_a_time_is_the_one_that_shows(frames: FrameTimes, share: float) -> None:
    time_s = share * frames.duration_s
    start_s, end_s = frames.span_s(*[frames.frame_at(time_s)] * 2)
    assert start_s - temporal.NOISE_S <= time_s <= end_s


def test_frames_of_a_variable_rate_keep_their_own_times() -> None:
    frames = FrameTimes.measured([5.0, 5.1, 5.2, 6.0, 6.1], 7.0)
    assert frames.starts_s == pytest.approx((0, 0.1, 0.2, 1.0, 1.1))
    assert [frames.frame_at(t) for t in (0.0, 0.15, 0.2, 0.9, 1.0, 1.5, 2.0)] == [0, 1, 2, 2, 3, 4, 4]
    assert frames.span_s(2, 2) == pytest.approx((0.2, 1.0))
    assert frames.longest_s == pytest.approx(0.9)
    assert frames.frames_in(0.2, 1.0) == (2, 2)
    assert frames.frames_in(2.0, 2.0) == (4, 4)


def test_frame_times_of_a_real_video_follow_its_time_stamps(tmp_path: Path) -> None:
    import av

    from tests.datasets_prep.clips import write_clip

    clip = write_clip(tmp_path / "vfr.mkv", frames=6, pts=[0, 10, 20, 100, 110, 200])
    with av.open(str(clip)) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    frames = FrameTimes.measured([t for t in shown if t is not None], video.probe(clip).duration_s)
    assert frames.num_frames == 6
    assert [frames.frame_at(t) for t in (0.05, 0.15, 0.5, 0.99, 1.0, 1.5)] == [0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("starts", "end", "message"),
    [
        ((), 1.0, "at least one"),
        ((0.5, 1.0), 2.0, "measured"),
        ((0.0, 1.0, 1.0), 2.0, "frame 1 shows"),
        ((0.0, 2.0, 1.0), 3.0, "frame 1 shows"),
        ((0.0, 1.0), 1.0, "frame 1 shows"),
        ((0.0, math.nan), 2.0, "frame 0 shows"),
        ((0.0,), math.inf, "frame 0 shows"),
    ],
)
def test_invalid_frame_times_are_refused(starts: tuple[float, ...], end: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameTimes(starts, end)


def test_frames_and_times_outside_the_video_are_refused_or_clamped() -> None:
    frames = FrameTimes.even(10, 2.0)
    with pytest.raises(IndexError, match="frame 10 of a video of 10"):
        frames.span_s(3, 10)
    with pytest.raises(ValueError, match="before they start"):
        frames.span_s(4, 3)
    with pytest.raises(ValueError, match="outside"):
        frames.frame_at(2.1)
    with pytest.raises(ValueError, match="before it starts"):
        frames.frames_in(1.0, 0.5)
    assert frames.frame_at(2.1, Outside.CLAMP) == 9
    assert frames.frames_in(-1.0, 9.0, Outside.CLAMP) == (0, 9)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("In {<TEMP-000><TEMP-099>} it moves.", "In {<TEMP-000><TEMP-099>} (0.0 to 9.9 s) it moves."),
        ("<TEMP-010><TEMP-020>, <TEMP-033>", "<TEMP-010><TEMP-020> (1.0 to 2.0 s), <TEMP-033> (3.3 s)"),
        ("<TEMP-10> and TEMP-010 are none", "<TEMP-10> and TEMP-010 are none"),
    ],
)
def test_texts_for_people_have_seconds_beside_the_tokens(text: str, told: str) -> None:
    assert temporal.with_seconds(text, 9.9) == told


def test_these_seconds_count_the_video_and_not_the_clip() -> None:
    assert temporal.with_seconds("<TEMP-033>", 9.9, clip_start_s=10) == "<TEMP-033> (13.3 s)"
