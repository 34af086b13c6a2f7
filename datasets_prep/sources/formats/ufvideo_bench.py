"""UFVideo-Bench: answers that hold text, masks and, for one task, a span.

Format: https://huggingface.co/datasets/Hevven/UFVideo-Bench, read through the public evaluation code.

* PixRQA: ``caption`` and ``annotation``; the first annotated frame of each object is the prompt, the later
  ones are to be segmented.
* PixHQA, PixTRQA: ``conversations`` nested once more, ``frame_idx`` lists the frames to be segmented. In
  PixTRQA the answer begins with a span, written as time tokens.

The training rows ("UniBench") name their task in ``unibench`` and may be in a file of any name. Those of
task1, PixRQA, have ``conversations`` and a ``frame_list``: its first frame is the prompt, the others are to
be segmented. UFVideo's own loader puts five of them through a Python set, which loses their order, so that
most of its prompts and masks stand on other frames' pixels; here they come from the list, and masks in the
order of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datasets_prep.draft import Draft, DraftTurn, Reason, RejectError
from datasets_prep.sources.bases.conversation import read_written_times, turns_of, video_of, without_markers
from datasets_prep.sources.bases.fields import mapping, media_of, refuse_clip, text_field, whole
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Files, ListReader, Record
from datasets_prep.sources.bases.region_masks import WHOLE_VIDEO, frame_size, objects_of, track
from datasets_prep.sources.json.json_file import Chunk, Limits
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig, Use
from pipeline.records.sample import REGION, SEG, Role, Task

_TASKS = ("PixRQA", "PixHQA", "PixTRQA")
_UNIBENCH = {"task1": "PixRQA", "task2": "PixHQA", "task3": "PixTRQA"}


class UfvideoBench(ListReader):
    """One draft per row; ``category`` is the task, from ``unibench``, else from the file's name."""

    suffixes = (".json",)

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Rows of one task's file; the name of a benchmark's file must contain the task."""
        if source.use is Use.BENCHMARK and _named_task(files.annotations.stem) is None:
            raise UserError(
                str(files.annotations),
                f"its name holds none of {', '.join(_TASKS)}.",
                "Name the file after its task.",
            )
        return super().chunks(source, files, limits)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The answer must hold one [SEG] per object; if it holds none they are appended."""
        raw = mapping(record.raw)
        refuse_clip(raw, WHOLE_VIDEO)
        task = _task(raw, record.file)
        objects = objects_of(raw.get("annotation"), -1)
        if not objects:
            raise RejectError(Reason.TARGET_COUNT, "no annotated object")
        if "conversations" in raw:
            turns = turns_of({"conversations": _dialogue(raw["conversations"])})
        else:
            turns = (
                DraftTurn(role=Role.USER, text=_marked_question(len(objects))),
                DraftTurn(role=Role.ASSISTANT, text=without_markers(text_field(raw, "caption"))),
            )
        if raw.get("unibench") == "task1" or "conversations" not in raw:
            frames = [_prompt_and_rest(o, raw.get("frame_list")) for o in objects]
            regions = tuple(track(o, (first,)) for o, (first, _) in zip(objects, frames, strict=True))
            targets = tuple(track(o, rest) for o, (_, rest) in zip(objects, frames, strict=True))
        else:
            regions, targets = (), tuple(track(o, _listed_frames(raw)) for o in objects)
        if not all(t.masks for t in targets):
            raise RejectError(Reason.TARGET_COUNT, "an object has no frame to be segmented")
        # Evaluation asks the first question; a judge of the text compares with its answer.
        reference = next((t.text for t in turns if t.role is Role.ASSISTANT), "")
        spoken = read_written_times(_with_targets(turns, len(targets)))
        return [
            Draft(
                key=record.key,
                task=Task.COOPERATIVE,
                media=media_of(video_of(raw)),
                turns=spoken.turns,
                times=spoken.times,
                regions=regions,
                targets=targets,
                frame_size=frame_size(raw),
                reference=reference,
                category=task,
                type=task,
            )
        ]


def _task(raw: Mapping[str, Any], stem: str) -> str:
    named = raw.get("unibench")
    if named is None:
        found = _named_task(stem)
        if found is None:
            raise RejectError(
                Reason.MALFORMED,
                f"neither `unibench` nor the file's name says which of {', '.join(_TASKS)} it is",
            )
        return found
    if named not in _UNIBENCH:
        raise RejectError(Reason.MALFORMED, f"`unibench` {named!r} is none of {', '.join(_UNIBENCH)}")
    return _UNIBENCH[named]


def _named_task(stem: str) -> str | None:
    return next((t for t in _TASKS if t.lower() in stem.lower()), None)


def _prompt_and_rest(annotated: Mapping[str, Any], listed: Any) -> tuple[int, tuple[int, ...]]:
    """The frame of an object's prompt, and those in which it is to be segmented, in the order of time.

    The prompt is on the first annotated frame in the benchmark, else on the first frame of ``frame_list``
    that shows the object.
    """
    masks = dict(track(annotated).masks)
    if listed is None:
        first, rest = min(masks), set(masks)
    else:
        if not isinstance(listed, list):
            raise RejectError(Reason.MALFORMED, "`frame_list` is not a list of frames")
        frames = [whole(f, "frame_list") for f in listed]
        there = [f for f in frames if masks.get(f, (None,)) != (None,)]
        if not there:
            raise RejectError(Reason.EMPTY_REGION, "an object has no mask in any frame of `frame_list`")
        first, rest = there[0], masks.keys() & set(frames)
    return first, tuple(sorted(f for f in rest if f != first))


def _listed_frames(raw: Mapping[str, Any]) -> set[int] | None:
    listed = raw.get("frame_idx")
    if listed is None:
        return None
    return {whole(f, "frame_idx") for f in (listed if isinstance(listed, list) else [listed])}


def _dialogue(conversations: Any) -> Any:
    """``[[q, a]]`` or ``[q, a]``; a turn may be bare text. UFVideo reads the first of several dialogues."""
    if isinstance(conversations, list) and conversations and isinstance(conversations[0], list):
        conversations = conversations[0]
    if isinstance(conversations, list) and all(isinstance(t, str) for t in conversations):
        return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(conversations)]
    return conversations


def _marked_question(objects: int) -> str:
    names = ", ".join(f"object_{k + 1}: [{REGION}]" for k in range(objects))
    some = "one object is" if objects == 1 else f"{objects} objects are"
    return f"In this video {some} marked. {names}. Say what each does and give its masks."


def _with_targets(turns: tuple[DraftTurn, ...], objects: int) -> tuple[DraftTurn, ...]:
    written = sum(t.text.count(SEG) for t in turns if t.role is Role.ASSISTANT)
    if written or not turns:
        return turns
    masks = " ".join(f"The segmentation mask of object_{k + 1} is {SEG}." for k in range(objects))
    return (*turns[:-1], DraftTurn(role=Role.ASSISTANT, text=f"{turns[-1].text} {masks}"))


FORMAT = Format(
    name="ufvideo_bench",
    about="UFVideo-Bench: answers with text, masks and, for one task, a span",
    tasks=(Task.COOPERATIVE,),
    reader=UfvideoBench(),
)
