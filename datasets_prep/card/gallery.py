"""Samples to look at: frames with their masks, times on a line, and the conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datasets_prep.card.conversation import (
    MAX_LANES,
    MAX_TURNS,
    Lane,
    ShownTurn,
    colour_of,
    conversation,
    css,
    lanes,
)
from datasets_prep.card.scan import SourceScan
from pipeline.dataset.baked import BakedFootage
from pipeline.dataset.reader import ShardReader
from pipeline.errors import StorageError, UserError
from pipeline.media.footage import Footage
from pipeline.media.same_video import OtherVideoError
from pipeline.page.frames import annotated_frames, mask_at, nearest, strip_frames
from pipeline.page.pictures import Layer, Picture, draw, shown_size
from pipeline.records import masks
from pipeline.records.sample import SEG, MaskTrack, Sample, TimeSpan, VideoRef
from pipeline.times.frame_times import frame_times
from pipeline.times.temporal import LAST_BIN, Outside

PICTURES = 6  # of one sample with objects or times
PLAIN_PICTURES = 3

GONE = "The video is not where it was when the dataset was made, so there are no frames to show"
OTHER = "Another file is where the video was when the dataset was made, so there are no frames to show"
UNREAD = "Storage did not give the video while this page was made, so there are no frames to show"
DAMAGED = "The video does not decode any more, so there are no frames to show"
ON_GREY = "; its masks are drawn on grey."


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A picture and its caption. ``at`` is its position on the video's line, in percent.

    ``kind``: answer or asked, if it lies in a span of an answer or of a question.
    """

    picture: Picture
    caption: str
    at: float
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One sample of the gallery; all strings are plain text."""

    key: str
    task: str
    category: str
    video: str
    length: str
    frames: tuple[Frame, ...]
    problem: str
    legend: tuple[tuple[str, str], ...]  # colour in CSS and what it stands for
    turns: tuple[ShownTurn, ...]
    more_turns: tuple[ShownTurn, ...]
    expression: str
    choices: tuple[tuple[str, bool], ...]  # options and whether each is the right one
    lanes: tuple[Lane, ...]
    more_lanes: int
    ends: tuple[str, str]  # of the line of time


def draw_gallery(
    reader: ShardReader, scans: Sequence[SourceScan], advance: Callable[[], object]
) -> dict[str, list[Shown]]:
    """The chosen samples of every source, task by task. Each video is opened once."""
    chosen = [
        (scan.entry.name, reader.sample(scan.entry.name, row))
        for scan in scans
        for task in sorted(scan.shown)
        for row in scan.shown[task]
    ]
    by_video: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    sources: list[Footage | str] = []
    for number, (_, sample) in enumerate(chosen):
        source = _footage(reader, sample)
        sources.append(source)
        name = f"\0{number}"
        if not isinstance(source, str):
            name = f"{source.place}\0{sample.video.path}\0{sample.video.sha256}"
        by_video.setdefault((name, sample.video.frames), []).append(number)
    shown: dict[int, Shown] = {}
    for numbers in by_video.values():
        samples = [chosen[n][1] for n in numbers]
        frames, problem = _decode(sources[numbers[0]], samples)
        for number, sample in zip(numbers, samples, strict=True):
            shown[number] = show(sample, frames, problem)
            advance()
    out: dict[str, list[Shown]] = {scan.entry.name: [] for scan in scans}
    for number, (source, _) in enumerate(chosen):
        out[source].append(shown[number])
    return out


def show(sample: Sample, frames: Mapping[int, np.ndarray], problem: str = "") -> Shown:
    """One sample with its available frames, by index; without any frame, masks are drawn on grey."""
    ref = sample.video
    tracks = _named_tracks(sample)
    if problem:
        problem += ON_GREY if tracks else "."
        frames = {
            f: np.full((tracks[0][1].height, tracks[0][1].width, 3), 127, np.uint8)
            for f in (frames_to_show(sample) if tracks else ())
        }
    turns = conversation(sample)
    times = lanes(sample)
    asked = "\n".join(t.text for t in sample.turns).lower()
    options = () if sample.choices and sample.choices[0].lower() in asked else sample.choices
    rate = f"{ref.num_frames:,} frame{'s' * (ref.num_frames != 1)}, {ref.width}×{ref.height}"
    return Shown(
        key=sample.key,
        task=str(sample.task),
        category=sample.category,
        video=ref.path,
        length=f"{ref.duration_s:.1f} s, {rate}" if ref.num_frames else "nobody probed it",
        frames=tuple(
            _frame(sample, index, frames[index]) for index in nearest(frames_to_show(sample), frames)
        ),
        problem=problem,
        legend=tuple((css(colour_of(i)), _legend(name, t)) for i, (name, t) in enumerate(tracks)),
        turns=tuple(turns[:MAX_TURNS]),
        more_turns=tuple(turns[MAX_TURNS:]),
        expression="" if sample.expression.lower() in asked else sample.expression,
        choices=tuple((text, i == sample.answer_index) for i, text in enumerate(options)),
        lanes=tuple(times[:MAX_LANES]),
        more_lanes=max(len(times) - MAX_LANES, 0),
        ends=_ends(sample),
    )


def frames_to_show(sample: Sample) -> list[int]:
    """Frames to show: every object at least once if possible; without objects, frames of the whole video."""
    ref, tracks = sample.video, [*sample.regions, *sample.targets]
    if tracks:
        frames = annotated_frames(tracks, PICTURES)
        unseen = [t for t in tracks if not any(_shows(t, f) for f in frames)]
        own = {f for t in unseen[: PICTURES - 1] for f in annotated_frames([t], 1) if _shows(t, f)}
        return sorted(own | set(annotated_frames(tracks, PICTURES - len(own)))) if own else frames
    if ref.num_frames < 1:
        return []
    times = sample.spans or sample.question_spans
    frames = strip_frames(sample, PICTURES if times else PLAIN_PICTURES)
    if times and ref.duration_s > 0 and not any(_in_span(ref, f, times[:1]) for f in frames):
        middle_s = (times[0].start_s + times[0].end_s) / 2
        middle = frame_times(ref).frame_at(middle_s, Outside.CLAMP)
        frames = sorted({middle, *strip_frames(sample, PICTURES - 1)})
    return frames


def _decode(footage: Footage | str, samples: Sequence[Sample]) -> tuple[dict[int, np.ndarray], str]:
    """Frames of one video for all of its samples, by index; or none and a text that says why.

    With baked frames, those nearest to the frames to show. The text has no paths: the same dataset gives the
    same card on every machine.
    """
    if isinstance(footage, str):
        return {}, footage
    indices = sorted({index for sample in samples for index in frames_to_show(sample)})
    if not indices:
        return {}, ""
    try:
        if isinstance(footage, BakedFootage):
            indices = nearest(indices, footage.indices())
        pixels = footage.decode(indices)
    except FileNotFoundError:
        return {}, GONE
    except OtherVideoError:
        return {}, OTHER
    except StorageError:
        return {}, UNREAD
    except (UserError, ValueError, IndexError, OSError):
        return {}, DAMAGED
    return dict(zip(indices, pixels, strict=True)), ""


def _footage(reader: ShardReader, sample: Sample) -> Footage | str:
    """The frames of the sample's video, or a text that says why there are none."""
    try:
        return reader.footage(sample)
    except StorageError:
        return UNREAD
    except (UserError, ValueError, OSError):
        return GONE


def _frame(sample: Sample, index: int, pixels_HW3: np.ndarray) -> Frame:
    ref = sample.video
    layers, seen = [], []
    for number, (name, track) in enumerate(_named_tracks(sample)):
        mask = mask_at(track, index)
        if mask is None:
            continue
        colour = colour_of(number)
        pointed = number < len(sample.regions)
        layers.append(Layer(mask_HW=mask, outline=colour, fill=None if pointed else colour))
        seen.append(name if mask.any() else f"{name} absent")
    time_s = frame_times(ref).edge_s(index) if ref.num_frames else 0.0
    caption = "still image" if ref.num_frames == 1 else f"{time_s:.1f} s, frame {index:,}"
    alt = caption + (": " + ", ".join(seen) if seen else "")
    kind = "asked" if _in_span(ref, index, sample.question_spans) else ""
    kind = "answer" if _in_span(ref, index, sample.spans) else kind
    width, height = shown_size(pixels_HW3)
    return Frame(
        picture=Picture(uri=draw(pixels_HW3, layers), alt=alt, width=width, height=height),
        caption=caption,
        at=100 * _middle_s(ref, index) / ref.duration_s if ref.num_frames else 0.0,
        kind=kind,
    )


def _in_span(ref: VideoRef, index: int, spans: Sequence[TimeSpan]) -> bool:
    """Whether the middle of a frame lies in one of the spans."""
    if not (spans and ref.num_frames):
        return False
    time_s = _middle_s(ref, index)
    return any(span.start_s <= time_s <= span.end_s for span in spans)


def _middle_s(ref: VideoRef, index: int) -> float:
    """The middle of the time for which a frame is shown."""
    return frame_times(ref).edge_s(index + 0.5)


def _shows(track: MaskTrack, index: int) -> bool:
    mask = mask_at(track, index)
    return mask is not None and bool(mask.any())


def _ends(sample: Sample) -> tuple[str, str]:
    """The labels at both ends of the line: seconds, and bins if these count from the start of the video."""
    last = f"{sample.video.duration_s:.1f} s"
    if sample.clip:
        return "0 s", last
    return "0 s, bin 0", f"{last}, bin {LAST_BIN}"


def _named_tracks(sample: Sample) -> list[tuple[str, MaskTrack]]:
    named = [(f"region {i}", track) for i, track in enumerate(sample.regions, 1)]
    return named + [(f"{SEG} {i}", track) for i, track in enumerate(sample.targets, 1)]


def _legend(name: str, track: MaskTrack) -> str:
    shown = sum(masks.area(counts, track.height, track.width) > 0 for counts in track.counts)
    total = len(track.frames)
    if not shown:
        return f"{name}: absent in all {total} frames" if total > 1 else f"{name}: absent"
    if shown == total:
        return f"{name}: on {total} frame{'s' * (total != 1)}"
    return f"{name}: on {shown} of {total} annotated frames"
