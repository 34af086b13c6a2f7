"""A checked question about one video: its text, its regions and the frames to segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.predict.clip import Clip, is_text
from pipeline.canonical import digest
from pipeline.commands.predict import EVERY_FRAME_UP_TO
from pipeline.errors import UserError
from pipeline.media.pointing import Region
from pipeline.page.frames import spread_over
from pipeline.records.sample import REGION, MaskTrack, Role, Sample, Task, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question that can be answered. ``tracks[k]`` is the mask of ``regions[k]``, the k-th <region>.

    ``frames``: frames on which objects of the answer are segmented, ascending. ``identity``: hex digest of
    everything that the answer depends on, except the code.
    """

    text: str
    clip: Clip
    regions: tuple[Region, ...]
    tracks: tuple[MaskTrack, ...]
    frames: tuple[int, ...]
    identity: str

    @property
    def sample(self) -> Sample:
        """The question as a sample, as the rest of the project takes it; without an answer."""
        return Sample(
            key=f"asked/{self.identity[:12]}",
            dataset="asked",
            task=Task.REFER if self.tracks else Task.QA,
            video=self.clip.ref,
            turns=(Turn(role=Role.USER, text=self.text),),
            regions=self.tracks,
        )


def check_text(text: str, regions: Sequence[Region]) -> None:
    """Raise UserError for an empty question, and for one whose <region> are not as many as the regions."""
    if not is_text(text):
        raise UserError(f"the question {text!a}", "is not text in UTF-8.", "Type it in UTF-8.")
    named, given = text.count(REGION), len(regions)
    if not text.strip():
        raise UserError("the question", "is empty.", 'Ask something, such as "What happens in this video?".')
    if named == given:
        return
    are = "region is" if given == 1 else "regions are"
    problem = f"names {named or 'no'} {REGION}, but {given or 'no'} {are} given."
    if not given:
        fix = f"Give one (--box, --point or --mask; regions=[…] in Python) for each {REGION}, or take it out."
    elif named:
        fix = f"Write one {REGION} for each of them, in their order."
    else:
        stem, end = (text[:-1], text[-1]) if text[-1] in "?.!" else (text, "")
        example = f"{stem.rstrip()} {' '.join([REGION] * given)}{end}"
        fix = f'Write {REGION} where the question speaks of what you point at, such as "{example}".'
    raise UserError(f'the question "{text}"', problem, fix)


def frames_to_segment(
    num_frames: int, count: int | str | None, tracks: Sequence[MaskTrack]
) -> tuple[int, ...]:
    """Indices, ascending: all frames, or ``count`` evenly spread ones with the first and the last among them.

    None: all of a video of up to EVERY_FRAME_UP_TO frames, as many of a longer one. The frames of regions are
    always among them. Raises UserError for a number below 1 and for any text but "all".
    """
    if count is None:
        count = EVERY_FRAME_UP_TO
    elif count == "all":
        count = num_frames
    if isinstance(count, str) or count < 1:
        raise UserError(f"frames {count!r}", "is not a number of frames.", 'Give 1 or more, or "all".')
    pointed = {frame for track in tracks for frame in track.frames}
    return tuple(sorted({*spread_over(range(num_frames), count), *pointed}))


def identify(
    clip: Clip, text: str, tracks: Sequence[MaskTrack], frames: Sequence[int], settings: object
) -> str:
    """The digest of what an answer depends on: the video's content and clock, words, model and settings."""
    ref = clip.ref
    return digest(
        {
            "video": [ref.sha256, ref.num_frames, ref.duration_s],
            "question": text,
            "regions": list(tracks),
            "frames": list(frames),
            "made_by": settings,
        }
    )
