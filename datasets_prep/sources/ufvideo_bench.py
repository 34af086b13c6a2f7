"""UFVideo-Bench: answers that hold text, masks and, for one task, a span.

Format: https://huggingface.co/datasets/Hevven/UFVideo-Bench, read through the public evaluation code.

* PixRQA: ``caption`` and ``annotation``; the first annotated frame of each object is the prompt, the later
  ones are to be segmented.
* PixHQA, PixTRQA: ``conversations`` nested once more, ``frame_idx`` lists the frames to be segmented. In
  PixTRQA the answer begins with a span, written as time tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import Draft, DraftTurn, Reason, RejectError
from datasets_prep.sources.annotation import frame_size, objects_of, track
from datasets_prep.sources.base import mapping, media_of, text_field, whole
from datasets_prep.sources.conversation import read_written_times, turns_of, without_markers
from datasets_prep.sources.json_file import Chunk, Limits
from datasets_prep.sources.reader import Files, ListReader, Record
from pipeline.config.data import SourceConfig
from pipeline.errors import UserError
from pipeline.schema.sample import REGION, SEG, Role, Task

_TASKS = ("PixRQA", "PixHQA", "PixTRQA")


class UfvideoBench(ListReader):
    """One draft per row; ``category`` is the task, told by the file's name."""

    suffixes = (".json",)

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Rows of one task's file, which its name must tell."""
        _task(files.annotations.stem, files.annotations)
        return super().chunks(source, files, limits)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The answer must hold one [SEG] per object; where it holds none they are put behind it."""
        raw = mapping(record.raw)
        marked = "conversations" not in raw
        objects = objects_of(raw.get("annotation"), -1)
        if not objects:
            raise RejectError(Reason.TARGET_COUNT, "no annotated object")
        tracks = tuple(track(o, _listed_frames(raw)) for o in objects)
        if marked:
            turns: tuple[DraftTurn, ...] = (
                DraftTurn(role=Role.USER, text=_marked_question(len(objects))),
                DraftTurn(role=Role.ASSISTANT, text=without_markers(text_field(raw, "caption"))),
            )
            first = [min(frame for frame, _ in t.masks) for t in tracks]
            regions = tuple(track(o, (f,)) for o, f in zip(objects, first, strict=True))
            later = [
                tuple(whole(f, "frame") for f in o if whole(f, "frame") != at)
                for o, at in zip(objects, first, strict=True)
            ]
            targets = tuple(track(o, keep) for o, keep in zip(objects, later, strict=True))
        else:
            turns, regions, targets = turns_of(_dialogue(raw["conversations"])), (), tracks
        if not all(t.masks for t in targets):
            raise RejectError(Reason.TARGET_COUNT, "an object has no frame to be segmented")
        spoken = read_written_times(_with_targets(turns, len(targets)))
        return [
            Draft(
                key=record.key,
                task=Task.COOPERATIVE,
                media=media_of(raw.get("video")),
                turns=spoken.turns,
                times=spoken.times,
                regions=regions,
                targets=targets,
                frame_size=frame_size(raw),
                category=_task(record.file),
                type=_task(record.file),
            )
        ]


def _task(stem: str, path: Path | None = None) -> str:
    found = next((t for t in _TASKS if t.lower() in stem.lower()), None)
    if found is None:
        raise UserError(
            str(path or stem),
            f"its name holds none of {', '.join(_TASKS)}.",
            "Name the file after its task.",
        )
    return found


def _listed_frames(raw: Mapping[str, Any]) -> set[int] | None:
    listed = raw.get("frame_idx")
    if listed is None:
        return None
    return {whole(f, "frame_idx") for f in (listed if isinstance(listed, list) else [listed])}


def _dialogue(conversations: Any) -> Any:
    """``[[q, a]]`` or ``[q, a]``; a turn may be bare text."""
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
