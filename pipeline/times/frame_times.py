"""Frames <-> seconds where frames may show for unequal times (variable frame rate).

The clock is that of ``Sample``: 0 is the start of the first frame, the duration is the end of the last one.
Frame k shows from its own start until that of frame k + 1, the last one until the end. A span of frames
includes its first and its last frame, as the sources write it: "frames 12 to 12" has the length of a frame.

Worst-case error of seconds -> frames -> seconds: at each end less than one frame, the one that shows longest
(``longest_s``). Frames -> seconds -> frames is exact.

A video says in ``VideoRef.frame_starts_s`` when its frames start, and nothing where its rate is constant:
then no frame starts further than ``EVEN_WITHIN`` of a frame from where even ones would.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.records.sample import VideoRef
from pipeline.times.temporal import NOISE_S, Outside, inside

EVEN_WITHIN = 0.1  # of the mean time that a frame shows
_SHORTEST_S = 2 * NOISE_S  # a frame that shows no longer could be taken for noise


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When each frame of a video starts to show, in seconds, and when the last one stops.

    ``starts_s`` begins with 0 and rises; a step that could be taken for noise is refused. At a constant rate
    it is empty and ``constant`` is the number of frames, so that nothing grows with it.
    Raises ValueError, naming the frame, for anything else.
    """

    starts_s: tuple[float, ...]
    duration_s: float
    constant: int = 0

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ValueError("a video needs at least one frame")
        if self.starts_s and self.constant:
            raise ValueError("frames of a constant rate need no list of starts")
        if self.starts_s and self.starts_s[0] != 0:
            raise ValueError(
                f"frame 0 starts at {self.starts_s[0]} s, but times count from there: use FrameTimes.measured"
            )
        edges = (*self.starts_s, self.duration_s) if self.starts_s else (0.0, self.edge_s(1))
        for index, (start, end) in enumerate(pairwise(edges)):
            if not (math.isfinite(end) and end - start > _SHORTEST_S):
                raise ValueError(f"frame {index} shows from {start} s to {end} s: its end must come later")

    @classmethod
    def measured(cls, starts_s: Sequence[float], end_s: float) -> FrameTimes:
        """From time stamps of the file, which need not begin at 0, and the end of the last frame."""
        first = float(starts_s[0]) if len(starts_s) else 0.0
        return cls(tuple(float(start) - first for start in starts_s), float(end_s) - first)

    @classmethod
    def even(cls, num_frames: int, duration_s: float) -> FrameTimes:
        """Constant frame rate: frame k starts at k * duration / num_frames."""
        return cls((), float(duration_s), num_frames)

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        return self.constant or len(self.starts_s)

    @property
    def longest_s(self) -> float:
        """The longest time that a frame shows; it bounds the error of seconds -> frames -> seconds."""
        if self.constant:
            return self.duration_s / self.constant
        return max(end - start for start, end in pairwise((*self.starts_s, self.duration_s)))

    def edge_s(self, frame: float) -> float:
        """When a frame starts to show; for ``num_frames``, when the last one stops.

        A fraction of a frame is that fraction of its time. Before the first frame and after
        the last one, outside the video, numbers continue at the mean rate.
        """
        count = self.num_frames
        if frame >= count:
            return self.duration_s + (frame - count) * self.duration_s / count
        if self.constant or frame < 0:
            return frame * self.duration_s / count
        whole = int(frame)
        start_s = self.starts_s[whole]
        if frame == whole:
            return start_s
        return start_s + (frame - whole) * (self.edge_s(whole + 1) - start_s)

    def span_s(self, first: int, last: int) -> tuple[float, float]:
        """Start and end in seconds of the frames ``first`` to ``last``, both included.

        Raises IndexError for a frame that the video does not have, ValueError for a reversed span.
        """
        for frame in (first, last):
            if not 0 <= frame < self.num_frames:
                raise IndexError(f"frame {frame} of a video of {self.num_frames} frames")
        if last < first:
            raise ValueError(f"frames {first} to {last} end before they start")
        return self.edge_s(first), self.edge_s(last + 1)

    def frame_at(self, seconds: float, outside: Outside = Outside.REFUSE) -> int:
        """The frame that shows at a time; at a border of two frames the later one. At the end, the last.

        Raises ValueError for a time that is not within [0, duration], unless ``outside`` says to clamp it.
        """
        time_s, _ = inside(seconds, self.duration_s, outside)
        return bisect_right(range(self.num_frames), time_s + NOISE_S, key=self.edge_s) - 1

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
        last = bisect_left(range(self.num_frames), stop_s - NOISE_S, key=self.edge_s) - 1
        return first, max(first, last)

    def part(self, start_s: float, end_s: float) -> FrameTimes:
        """The frames that show within a span, which may cut the outer two, on a clock that begins with it.

        Raises ValueError as ``frames_in`` does, and for a span that is too short to show anything.
        """
        first, last = self.frames_in(start_s, end_s)
        starts_s = [self.edge_s(frame) for frame in range(first + 1, last + 1)]
        # The rest of a frame may be too short to be one.
        kept_s = [start_s, *(s for s in starts_s if s - start_s > _SHORTEST_S and end_s - s > _SHORTEST_S)]
        return FrameTimes.measured(kept_s, end_s)


def frame_times(video: VideoRef) -> FrameTimes:
    """When the frames of a probed video show. Raises ValueError for a video that was not probed."""
    if video.frame_starts_s:
        return FrameTimes(video.frame_starts_s, video.duration_s)
    return FrameTimes.even(video.num_frames, video.duration_s)


def picture_late_s(video: VideoRef) -> float:
    """How many seconds after a player begins the first frame shows; less than half a frame is none."""
    half_a_frame_s = video.duration_s / (2 * video.num_frames) if video.num_frames else 0.0
    return video.start_s if video.start_s > half_a_frame_s else 0.0


def uneven_starts(stamps_s: Sequence[float], end_s: float) -> tuple[float, ...]:
    """``VideoRef.frame_starts_s`` from the time stamps of a file: empty where its rate is constant.

    ``stamps_s`` never fall; ``end_s`` is when the last frame stops. Frames of one time stamp share the time
    until the next one equally: each of them is counted and decoded as a frame, so each must show some time.

    Raises ValueError where that leaves a frame no time that could be told from noise.
    """
    count, length_s = len(stamps_s), end_s - stamps_s[0]
    starts_s = [stamp - stamps_s[0] for stamp in stamps_s]
    mean_s = length_s / count
    if all(abs(start - k * mean_s) <= EVEN_WITHIN * mean_s for k, start in enumerate(starts_s)):
        return ()
    shared_s: list[float] = []
    while len(shared_s) < count:
        first = stop = len(shared_s)
        while stop < count and starts_s[stop] - starts_s[first] <= _SHORTEST_S:
            stop += 1
        each_s = ((starts_s[stop] if stop < count else length_s) - starts_s[first]) / (stop - first)
        shared_s += [starts_s[first] + k * each_s for k in range(stop - first)]
    return FrameTimes(tuple(shared_s), length_s).starts_s
