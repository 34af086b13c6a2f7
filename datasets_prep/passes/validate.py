"""Pure checks on a finished sample. The first one that fails gives the reason."""

from __future__ import annotations

from datasets_prep.draft import Reason, RejectError
from datasets_prep.sources.bases.fields import LONG_TEXT, check_text
from pipeline.plan.data import Use
from pipeline.records import masks
from pipeline.records.sample import REGION, SEG, MaskTrack, Role, Sample, Task
from pipeline.times import temporal
from pipeline.times.frame_times import frame_times

_LEFT_OVER = ("<video>", "<image>", "<TIME_STAMP>", "<TEMP-INPUT>", "<TEMP-OUTPUT>", "-OUTPUT>", "-INPUT>")
_ORDER = (Role.USER, Role.ASSISTANT)


def check(sample: Sample, use: Use, min_frames: int) -> None:
    """Raise RejectError unless the sample fulfils its schema."""
    _video(sample, min_frames)
    marked = _turns(sample, use)
    if marked or sample.regions or sample.targets or sample.spans or sample.question_spans or sample.instants:
        _counts(sample)
        _tracks(sample)
    for number, choice in enumerate(sample.choices):
        check_text(choice, f"option {number}")
    if sample.task is Task.CHOICE and not 0 <= sample.answer_index < len(sample.choices):
        raise RejectError(Reason.BAD_CHOICE, f"answer {sample.answer_index} of {len(sample.choices)} options")


def _video(sample: Sample, min_frames: int) -> None:
    if sample.video.num_frames < min_frames:
        raise RejectError(
            Reason.TOO_FEW_FRAMES, f"{sample.video.num_frames} frames, the plan asks for {min_frames}"
        )


def _turns(sample: Sample, use: Use) -> bool:
    """Check the turns; returns whether a text may hold a placeholder, so that they have to be counted.

    A benchmark may have a question without its answer; training needs both.
    """
    marked = False
    for number, (role, text) in enumerate(sample.turns):
        if role is not _ORDER[number % 2]:
            raise RejectError(Reason.TURNS, f"turn {number} is by {role}")
        if not text or text.isspace():
            raise RejectError(Reason.TURNS, f"turn {number} is empty")
        if len(text) > LONG_TEXT or "\0" in text:
            check_text(text, f"turn {number}")
        if ">" not in text:
            marked = marked or SEG in text
            continue
        marked = True
        left = next((word for word in _LEFT_OVER if word in text), None)
        if left:
            raise RejectError(Reason.PLACEHOLDERS, f"turn {number} still holds {left}")
    if not sample.turns or (use is Use.TRAIN and len(sample.turns) % 2):
        raise RejectError(Reason.TURNS, f"{len(sample.turns)} turns: a question without an answer")
    return marked


def _counts(sample: Sample) -> None:
    """Check that placeholders in the text and objects and times of the sample match one to one."""
    texts = {role: "\n".join(t.text for t in sample.turns if t.role is role) for role in Role}
    questions, answer_text = texts[Role.USER], texts[Role.ASSISTANT]
    if questions.count(REGION) != len(sample.regions):
        raise RejectError(
            Reason.REGION_COUNT,
            f"{questions.count(REGION)} {REGION} in questions, {len(sample.regions)} objects",
        )
    if REGION in answer_text:
        raise RejectError(Reason.REGION_COUNT, f"an answer holds {REGION}; only questions point at objects")
    if answer_text.count(SEG) != len(sample.targets):
        raise RejectError(
            Reason.TARGET_COUNT, f"{answer_text.count(SEG)} {SEG} in answers, {len(sample.targets)} objects"
        )
    answers = [t.text for t in sample.turns if t.role is Role.ASSISTANT]
    written = [span for text in answers for span in temporal.read(text)]
    if written != [(s.start_bin, s.end_bin) for s in sample.spans]:
        raise RejectError(Reason.SPAN_COUNT, f"answers hold spans {written}, the sample {len(sample.spans)}")
    written = temporal.read_written(questions)
    if written != [(s.start_bin, s.end_bin) for s in sample.question_spans]:
        raise RejectError(
            Reason.SPAN_COUNT, f"questions hold spans {written}, the sample {len(sample.question_spans)}"
        )
    tokens = temporal.read_instants("\n".join(t.text for t in sample.turns))
    if tokens != [s.start_bin for s in sample.instants]:
        raise RejectError(
            Reason.SPAN_COUNT, f"the text holds instants {tokens}, the sample {len(sample.instants)}"
        )


def _tracks(sample: Sample) -> None:
    void = (sample.void,) if sample.void else ()
    shown = None
    if sample.clip is not None and (sample.regions or sample.targets):
        clip = sample.clip
        shown = frame_times(sample.video).frames_in(clip.start_s, clip.end_s, temporal.Outside.CLAMP)
    for track in (*sample.regions, *sample.targets, *void):
        if not track.frames:
            raise RejectError(Reason.BAD_MASK, "an object has no annotated frame")
        if track.frames[0] < 0 or track.frames[-1] >= sample.video.num_frames:
            outside = track.frames[-1] if track.frames[0] >= 0 else track.frames[0]
            raise RejectError(
                Reason.FRAME_OUTSIDE,
                f"mask on frame {outside} of a video of {sample.video.num_frames} frames",
            )
        if shown is not None and not (shown[0] <= track.frames[0] and track.frames[-1] <= shown[1]):
            outside = track.frames[0] if track.frames[0] < shown[0] else track.frames[-1]
            raise RejectError(
                Reason.FRAME_OUTSIDE,
                f"mask on frame {outside}, and the clip shows the frames {shown[0]} to {shown[1]}",
            )
    for number, region in enumerate(sample.regions):
        if not _visible(region):
            raise RejectError(Reason.EMPTY_REGION, f"region {number} has no pixel in any of its frames")


def _visible(track: MaskTrack) -> bool:
    return any(masks.area(counts, track.height, track.width) for counts in track.counts)
