"""Videos of variable frame rate, for property tests."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import strategies as st

from pipeline.times.frame_times import FrameTimes


@st.composite
def variable_frames(draw: st.DrawFn) -> FrameTimes:
    """A video whose frames show for 1 ms to 5 s each."""
    ends = list(accumulate(draw(st.lists(st.floats(0.001, 5), min_size=1, max_size=20))))
    return FrameTimes((0.0, *ends[:-1]), ends[-1])
