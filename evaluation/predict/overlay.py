"""The overlay video: masks, regions and spans of an answer, drawn on the frames that were segmented.

It shows only these frames, each until the next one starts, and so lasts as long as the video: picture and
mask belong together always, and no mask is made up for a frame between. H.264; the size is that of the video,
a row or column repeated at its end where the number is odd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.frames import pictures
from evaluation.predict.clip import Clip, unreadable
from pipeline.media.video import VideoError
from pipeline.page.frames import mask_at
from pipeline.page.pictures import Colour
from pipeline.records.sample import MaskTrack, TimeSpan
from pipeline.times.frame_times import FrameTimes, frame_times

OBJECT_COLOURS: tuple[Colour, ...] = (
    (255, 64, 129),
    (255, 152, 0),
    (124, 77, 255),
    (255, 235, 59),
    (141, 110, 99),
)
REGION_COLOUR: Colour = (33, 150, 243)
SPAN_COLOUR: Colour = (255, 193, 7)
_OPACITY = 0.45  # of a mask's inside; its outline hides the picture
_TICKS = 90_000  # of the overlay's clock, a second; as MPEG counts


def write_overlay(
    path: Path,
    clip: Clip,
    frames: Sequence[int],
    *,
    masks: Sequence[MaskTrack],
    regions: Sequence[MaskTrack],
    spans: Sequence[TimeSpan],
    on_frames: Callable[[int], object] = lambda done: None,
) -> None:
    """Draw on ``frames``, in ascending order, and encode. ``on_frames`` is called with the number done.

    Objects are filled in OBJECT_COLOURS, in turn; regions are outlined on their own frames; the frames of a
    span have a border, and a bar at the bottom shows spans and the present moment.
    Raises UserError for a video that cannot be read.
    """
    times = frame_times(clip.ref)
    try:
        with _Encoder(path, clip.ref.height, clip.ref.width, clip.ref.fps) as encoder:
            shown = pictures(clip.footage, frames)
            for done, ((index, picture), (start_s, end_s)) in enumerate(
                zip(shown, _shown_for(frames, times), strict=True), 1
            ):
                encoder.add(painted(picture, index, times, masks, regions, spans), start_s, end_s)
                on_frames(done)
    except (VideoError, IndexError) as error:
        raise unreadable(clip.uri, clip.path, error) from error


def _shown_for(frames: Sequence[int], times: FrameTimes) -> Iterator[tuple[float, float]]:
    """From when until when the overlay shows each frame, in seconds; the first one from the start."""
    return pairwise([0.0, *(times.edge_s(f) for f in frames[1:]), times.duration_s])


def painted(
    picture_HW3: np.ndarray,
    index: int,
    times: FrameTimes,
    masks: Sequence[MaskTrack],
    regions: Sequence[MaskTrack],
    spans: Sequence[TimeSpan],
) -> np.ndarray:
    """RGB uint8 [H, W, 3]: first all fills, then all outlines, so that none hides an outline."""
    out = picture_HW3.copy()
    line = max(1, round(min(out.shape[:2]) / 360))
    made = [(mask_at(track, index), OBJECT_COLOURS[k % len(OBJECT_COLOURS)]) for k, track in enumerate(masks)]
    for mask, colour in made:
        if mask is not None:
            inside = mask != 0
            out[inside] = (1 - _OPACITY) * out[inside] + _OPACITY * np.array(colour)
    for mask, colour in (*made, *((mask_at(track, index), REGION_COLOUR) for track in regions)):
        if mask is not None:
            out[_outline(mask != 0, line)] = colour
    if spans:
        _mark_spans(out, index, times, spans)
    return out


def _outline(mask_HW: np.ndarray, width: int) -> np.ndarray:
    """The outermost ``width`` pixels of a mask; the frame's own edge is not an outline."""
    inner = mask_HW.copy()
    for _ in range(width):
        before = inner.copy()
        inner[1:] &= before[:-1]
        inner[:-1] &= before[1:]
        inner[:, 1:] &= before[:, :-1]
        inner[:, :-1] &= before[:, 1:]
    return mask_HW & ~inner


def _mark_spans(out_HW3: np.ndarray, index: int, times: FrameTimes, spans: Sequence[TimeSpan]) -> None:
    height, width = out_HW3.shape[:2]
    present = any(
        first <= index <= last for first, last in (times.frames_in(s.start_s, s.end_s) for s in spans)
    )
    if present:
        edge = max(2, min(height, width) // 60)
        for border in (out_HW3[:edge], out_HW3[-edge:], out_HW3[:, :edge], out_HW3[:, -edge:]):
            border[...] = SPAN_COLOUR
    bar = out_HW3[-max(4, height // 40) :]
    bar[...] = 32

    def column(seconds: float) -> int:
        return min(int(seconds / times.duration_s * width), width - 1)

    for span in spans:
        bar[:, column(span.start_s) : column(span.end_s) + 1] = SPAN_COLOUR
    now = column(times.edge_s(index))
    bar[:, max(now - 1, 0) : now + 2] = 255


class _Encoder:
    """H.264 in MP4 with a time for each frame. No frame refers to a later one, so that times stay exact."""

    def __init__(self, path: Path, height: int, width: int, fps: float) -> None:
        import av

        self._av = av
        av.logging.set_level(av.logging.PANIC)
        self._container: Any = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        options = {"crf": "18", "preset": "veryfast", "bf": "0", "g": "50"}
        self._stream = self._container.add_stream("libx264", rate=rate or 1, options=options)
        self._stream.height, self._stream.width = height + height % 2, width + width % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._lasts: dict[int, int] = {}
        self._last = -1

    def __enter__(self) -> _Encoder:
        return self

    def add(self, picture_HW3: np.ndarray, start_s: float, end_s: float) -> None:
        """One frame that shows from ``start_s`` to ``end_s``."""
        height, width = picture_HW3.shape[:2]
        even = np.pad(picture_HW3, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        # Frames less than a tick apart still get increasing times.
        ticks = max(round(start_s * _TICKS), self._last + 1)
        frame.pts, frame.time_base, self._last = ticks, Fraction(1, _TICKS), ticks
        self._lasts[frame.pts] = max(round(end_s * _TICKS) - frame.pts, 1)
        self._mux(self._stream.encode(frame))

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._mux(self._stream.encode(None))
        self._container.close()

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self._lasts.pop(packet.pts)
            self._container.mux(packet)
