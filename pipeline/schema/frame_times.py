"""Frames <-> seconds where frames may show for unequal times (variable frame rate).

The clock is that of ``Sample``: 0 is the start of the first frame, the duration is the end of the last one.
Frame k shows from its own start until that of frame k + 1, the last one until the end. A span of frames
includes its first and its last frame, as the sources write it: "frames 12 to 12" has the length of a frame.

Worst-case error of seconds -> frames -> seconds: at each end less than one frame, the one that shows longest
(``longest_s``). Frames -> seconds -> frames is exact.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.schema.temporal import NOISE_S, Outside, inside


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When each frame of a video starts to show, in seconds, and when the last one stops.

    ``starts_s`` begins with 0 and rises; a step that could be taken for noise is refused.
    Raises ValueError, naming the frame, for anything else.
    """

    starts_s: tuple[float, ...]
    duration_s: float

    def __post_init__(self) -> None:
        if not self.starts_s:
            raise ValueError("a video needs at least one frame")
        if self.starts_s[0] != 0:
            raise ValueError(
                f"frame 0 starts at {self.starts_s[0]} s, but times count from there: use FrameTimes.measured"
            )
        ends = (*self.starts_s[1:], self.duration_s)
        for index, (start, end) in enumerate(zip(self.starts_s, ends, strict=True)):
            if not (math.isfinite(end) and end - start > 2 * NOISE_S):
                raise ValueError(f"frame {index} shows from {start} s to {end} s: its end must come later")

    @classmethod
    def measured(cls, starts_s: Sequence[float], end_s: float) -> FrameTimes:
        """From time stamps of the file, which need not begin at 0, and the end of the last frame."""
        first = float(starts_s[0]) if len(starts_s) else 0.0
        return cls(tuple(float(start) - first for start in starts_s), float(end_s) - first)

    @classmethod
    def even(cls, num_frames: int, duration_s: float) -> FrameTimes:
        """Constant frame rate: frame k starts at k * duration / num_frames, as ``finish.py`` counts."""
        return cls(tuple(k * duration_s / num_frames for k in range(num_frames)), float(duration_s))

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        return len(self.starts_s)

    @property
    def longest_s(self) -> float:
        """How long the frame that shows longest does; bounds the error of seconds -> frames -> seconds."""
        ends = (*self.starts_s[1:], self.duration_s)
        return max(end - start for start, end in zip(self.starts_s, ends, strict=True))

    def span_s(self, first: int, last: int) -> tuple[float, float]:
        """Start and end in seconds of the frames ``first`` to ``last``, both included.

        Raises IndexError for a frame that the video does not have, ValueError for a reversed span.
        """
        for frame in (first, last):
            if not 0 <= frame < self.num_frames:
                raise IndexError(f"frame {frame} of a video of {self.num_frames} frames")
        if last < first:
            raise ValueError(f"frames {first} to {last} end before they start")
        end_s = self.duration_s if last + 1 == self.num_frames else self.starts_s[last + 1]
        return self.starts_s[first], end_s

    def frame_at(self, seconds: float, outside: Outside = Outside.REFUSE) -> int:
        """The frame that shows at a time; where one gives way to the next, the next. At the end, the last.

        Raises ValueError for a time that is not within [0, duration], unless ``outside`` says to clamp it.
        """
        time_s, _ = inside(seconds, self.duration_s, outside)
        return bisect_right(self.starts_s, time_s + NOISE_S) - 1

    def frames_in(self, start_s: float, end_s: float, outside: Outside = Outside.REFUSE) -> tuple[int, int]:
        """First and last frame, both included, that show within a span of seconds.

        Never empty: an instant has the frame that shows at it.

        Raises ValueError for a reversed span, and as ``frame_at`` does.
        """
        if end_s < start_s:
            raise ValueError(f"span {start_s:.3f}-{end_s:.3f} s ends before it starts")
        first = self.frame_at(start_s, outside)
        stop_s, _ = inside(end_s, self.duration_s, outside)
        # A frame that starts at the very end of the span is not in it any more.
        return first, max(first, bisect_left(self.starts_s, stop_s - NOISE_S) - 1)
