"""Variable frame rates: videos keep their time stamps; a constant rate needs none."""

from __future__ import annotations

from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.arrow import to_table
from pipeline.dataset.sample_rows import from_table
from pipeline.records.sample import Sample, Task, VideoRef
from pipeline.times.frame_times import EVEN_WITHIN, FrameTimes, frame_times, uneven_starts
from pipeline.times.temporal import NOISE_S
from tests.pipeline.odd_frames import variable_frames

SHARES = st.floats(0, 1)
UNEVEN = (0.0, 0.1, 0.2, 1.0, 1.1, 2.0)


def ref(starts_s: tuple[float, ...] = UNEVEN, duration_s: float = 2.1) -> VideoRef:
    return VideoRef(
        path="a.mkv", num_frames=6, fps=6 / duration_s, duration_s=duration_s, frame_starts_s=starts_s
    )


# ------------------------------------------------------------------------------------- what a video keeps


@given(st.integers(1, 60), st.floats(0.01, 5), st.floats(-1e4, 1e4), st.data())
@settings(max_examples=200, deadline=None)
def test_only_a_variable_rate_keeps_its_time_stamps(
    count: int, each_s: float, first_s: float, data: st.DataObject
) -> None:
    off = data.draw(st.lists(st.floats(-0.4, 0.4), min_size=count - 1, max_size=count - 1))
    stamps_s = [first_s, *(first_s + (k + 1 + o) * each_s for k, o in enumerate(off))]
    kept = uneven_starts(stamps_s, first_s + count * each_s)
    worst = max(map(abs, off), default=0.0)
    if worst < EVEN_WITHIN - 1e-6:
        assert kept == ()
    if worst > EVEN_WITHIN + 1e-6:
        assert kept == pytest.approx([stamp - first_s for stamp in stamps_s])
        assert kept[0] == 0


def test_the_tolerance_applies_to_single_frames_and_not_to_their_mean() -> None:
    """One frame of a thousand is late by an eighth of a frame."""
    stamps_s = [k / 25 for k in range(1000)]
    assert uneven_starts(stamps_s, 40.0) == ()
    stamps_s[500] += 0.125 / 25
    assert len(uneven_starts(stamps_s, 40.0)) == 1000


def test_frames_of_one_time_stamp_share_the_time_until_the_next() -> None:
    assert uneven_starts([5.0, 5.0, 5.0, 8.0], 10.0) == pytest.approx((0, 1, 2, 3))
    assert uneven_starts([0.0, 4.0, 4.0], 5.0) == pytest.approx((0, 4, 4.5))
    assert uneven_starts([0.0, 4.0, 4.0 + NOISE_S], 5.0) == pytest.approx((0, 4, 4.5))
    with pytest.raises(ValueError, match="frame 1 shows"):
        uneven_starts([0.0, 4.0, 4.0, 4.0 + 3 * NOISE_S], 5.0)  # 1.5 microseconds each


def test_rows_keep_frame_starts_exactly() -> None:
    samples = [
        Sample(key=f"s/{i}", dataset="s", task=Task.QA, video=video, turns=())
        for i, video in enumerate((ref(), ref(()), ref()))
    ]
    assert from_table(to_table(samples)) == samples
    assert len({sample.video for sample in samples}) == 2  # a video can be looked up
    column = to_table(samples)["video"].combine_chunks().field("frame_starts_s")
    assert column.type == pa.list_(pa.float64())
    assert column.to_pylist() == [list(UNEVEN), [], list(UNEVEN)]


def test_frame_times_follow_from_the_video() -> None:
    assert frame_times(ref()) == FrameTimes(UNEVEN, 2.1)
    assert frame_times(ref(())) == FrameTimes.even(6, 2.1)
    assert frame_times(ref(())).starts_s == ()  # no memory grows with the number of frames
    with pytest.raises(ValueError, match="at least one frame"):
        frame_times(VideoRef(path="not probed"))


# ------------------------------------------------------------------------------------------------ numbers


@given(st.integers(1, 300), st.floats(0.5, 3600), SHARES, SHARES)
@settings(max_examples=200, deadline=None)
def test_a_constant_rate_equals_a_list_of_its_frame_starts(
    count: int, duration_s: float, a: float, b: float
) -> None:
    even = FrameTimes.even(count, duration_s)
    listed = FrameTimes(tuple(k * duration_s / count for k in range(count)), duration_s)
    start_s, end_s = sorted((a * duration_s, b * duration_s))
    assert even.num_frames == listed.num_frames
    assert even.longest_s == pytest.approx(listed.longest_s)
    assert even.frame_at(start_s) == listed.frame_at(start_s)
    assert even.frames_in(start_s, end_s) == listed.frames_in(start_s, end_s)
    first, last = even.frames_in(start_s, end_s)
    assert even.span_s(first, last) == listed.span_s(first, last)
    for number in (-3, -0.5, 0, a * count, count, count + 2.5):
        assert even.edge_s(number) == pytest.approx(listed.edge_s(number))


@given(st.integers(1, 200), st.integers(2, 3600), st.integers(0, 399), st.integers(0, 399))
@settings(max_examples=300, deadline=None)
def test_frames_of_a_constant_rate_equal_exact_fractions(n: int, duration_s: int, a: int, b: int) -> None:
    first, last = sorted((a % (2 * n + 1), b % (2 * n + 1)))  # starts and middles of frames
    want_first = min(first // 2, n - 1)
    want_last = max(-(-last // 2) - 1, want_first)
    start_s, end_s = (float(Fraction(k * duration_s, 2 * n)) for k in (first, last))
    assert FrameTimes.even(n, duration_s).frames_in(start_s, end_s) == (want_first, want_last)


@given(variable_frames(), SHARES)
@settings(deadline=None)
def test_a_fraction_of_a_frame_is_that_fraction_of_its_duration(frames: FrameTimes, share: float) -> None:
    for k in range(frames.num_frames):
        start_s, end_s = frames.span_s(k, k)
        assert start_s <= frames.edge_s(k + share) <= end_s + NOISE_S
        assert frames.edge_s(k + share) == pytest.approx(start_s + share * (end_s - start_s))
    past_s = frames.edge_s(frames.num_frames + 1) - frames.duration_s
    assert past_s == pytest.approx(frames.duration_s / frames.num_frames)
    assert -frames.edge_s(-1) == pytest.approx(past_s)


@given(variable_frames(), SHARES, SHARES, SHARES)
@settings(max_examples=300, deadline=None)
def test_a_clip_shows_the_frames_of_its_video(frames: FrameTimes, a: float, b: float, at: float) -> None:
    start_s, end_s = sorted((a * frames.duration_s, b * frames.duration_s))
    if end_s - start_s < 0.001:
        return
    part = frames.part(start_s, end_s)
    assert part.duration_s == pytest.approx(end_s - start_s)
    shown_s = at * part.duration_s
    own, whole = part.frame_at(shown_s), frames.frame_at(min(start_s + shown_s, frames.duration_s))
    begins_s, ends_s = (edge + start_s for edge in part.span_s(own, own))
    noise_s = 4 * NOISE_S
    assert frames.span_s(whole, whole)[0] - noise_s <= ends_s
    assert begins_s <= frames.span_s(whole, whole)[1] + noise_s


def test_a_clip_has_its_own_frames() -> None:
    part = FrameTimes(UNEVEN, 2.1).part(0.5, 1.5)
    assert part.starts_s == pytest.approx((0, 0.5, 0.6))  # frame 2 continues, 3 and 4 start
    assert part.duration_s == pytest.approx(1.0)
    assert FrameTimes.even(10, 10.0).part(2.0, 4.0).num_frames == 2
