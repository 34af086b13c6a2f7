"""The record that flows from a source's annotation to a training step and to a score."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

REGION = "<region>"
SEG = "[SEG]"


class Task(StrEnum):
    """What a sample teaches or tests. A mixture, a loss report and a benchmark are grouped by it."""

    QA = "qa"  # free text about the video
    CHOICE = "choice"  # one of several options
    REFER = "refer"  # text about objects that the user points at
    SEGMENT = "segment"  # masks of objects that words name
    TEMPORAL = "temporal"  # spans of time
    COOPERATIVE = "cooperative"  # several of these in one answer (UFVideo-Bench)


class Role(StrEnum):
    """Who speaks a turn."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRef:
    """The path of a video below its source's media root, and the results of probing it.

    ``frames`` is empty for a video file. For a folder of images it holds the file names in order, and
    ``path`` is the folder. Frame indices everywhere in a sample count decoded frames (or entries of
    ``frames``) from 0. Fields after ``frames`` are 0 or empty until the video is probed.
    """

    path: str
    frames: tuple[str, ...] = ()
    num_frames: int = 0
    fps: float = 0.0
    duration_s: float = 0.0  # seconds from the first frame's start to the last frame's end
    duration_source: str = ""  # "stream", "container" or "frames/fps": these durations can differ
    frame_starts_s: tuple[float, ...] = ()  # start of each frame at a variable rate; see ``frame_times``
    start_s: float = 0.0  # when a player shows the first frame; sound may have begun before it
    height: int = 0
    width: int = 0
    size_bytes: int = 0
    sha256: str = ""  # of the file; of the concatenated frame digests for a folder
    head_sha256: str = ""  # of the file's first 64 KiB; of the frames' names and sizes for a folder


class Turn(NamedTuple):
    """One turn of a conversation.

    User text may hold ``<region>`` placeholders, assistant text ``[SEG]``, and both may hold spans such as
    ``{<TEMP-012><TEMP-047>}`` and instants such as ``<TEMP-012>``. The video is always in front of the first
    user turn and is not written here.
    """

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskTrack:
    """Masks of one object, or of a union of objects, on some frames.

    ``frames[i]`` is the frame index of ``counts[i]``, a compressed COCO RLE string for an image of
    ``height`` x ``width``. A frame in which the object is absent has a mask of area 0; a frame that is not
    annotated is not in the list.
    """

    height: int
    width: int
    frames: tuple[int, ...]
    counts: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.counts):
            raise ValueError(
                f"a mask track needs one mask per frame, not {len(self.counts)} for {len(self.frames)}"
            )
        if any(b <= a for a, b in zip(self.frames, self.frames[1:], strict=False)):
            raise ValueError("the frames of a mask track must rise strictly")


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSpan:
    """A span in seconds from the start of the video, and as bins 0-99 of what the model is shown.

    That is the sample's clip where it has one, else the whole video. (The bins of a clip itself count the
    whole video.) An instant is a span whose start and end are equal.
    """

    start_s: float
    end_s: float
    start_bin: int
    end_bin: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One conversation about one video, before any model-specific encoding."""

    key: str  # unique in its dataset, the same in every rebuild: "<dataset>/<record>[/<part>]"
    dataset: str  # name of the plan's source entry
    task: Task
    video: VideoRef
    turns: tuple[Turn, ...]
    regions: tuple[MaskTrack, ...] = ()  # what the k-th <region> in the text points at
    targets: tuple[MaskTrack, ...] = ()  # what the k-th [SEG] must segment
    spans: tuple[TimeSpan, ...] = ()  # the k-th span written in assistant text: what an answer must say
    question_spans: tuple[TimeSpan, ...] = ()  # the k-th span written in user text
    instants: tuple[TimeSpan, ...] = ()  # the k-th lone time token in the text of either role
    clip: TimeSpan | None = None  # part of the video that the question is about; None: all of it
    expression: str = ""  # the words that name a target, or the event to be found, as the source wrote them
    choices: tuple[str, ...] = ()  # option texts without their letters
    answer_index: int = -1  # index of the right option; -1 where there are no options
    reference: str = ""  # a benchmark's true answer in free text; never shown to a model
    category: str = ""  # the source's own type of question, by which scores are broken down
    void: MaskTrack | None = None  # pixels on which no mask is judged; None: the source has none or left them
