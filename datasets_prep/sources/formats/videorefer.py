"""VideoRefer-700K: conversations that point at objects by masks.

Format: https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-700K. ``annotation[i]`` belongs to the i-th
``<region>``; its keys are indices of decoded frames. Rows from YouTube-VOS name the frame of their question
in ``frame_idx``.

UFVideo trains on the 125K detailed descriptions twice: as they are, and as questions and answers; for the
latter ``as_questions`` (or ``question_templates``) replaces "Describe ..." by another question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from datasets_prep.draft import Draft, DraftTurn, Reason, RejectError
from datasets_prep.sources.bases.conversation import read_written_times, turns_of, video_of
from datasets_prep.sources.bases.fields import mapping, media_of, refuse_clip, whole
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from datasets_prep.sources.bases.region_masks import WHOLE_VIDEO, frame_size, objects_of, track
from datasets_prep.sources.bases.segmentation_text import fill, pick
from pipeline.plan.data import RegionMode, SourceConfig
from pipeline.records.sample import REGION, Role, Task

QUESTIONS = (
    "What does the video show of {regions}?",
    "Looking at {regions}: what can be seen there, and what happens to it in the video?",
    "Could you tell me all that the video shows about {regions}?",
    "What is marked by {regions}, what does it look like, and what does it do?",
    "How does {regions} look, and how does it move and change in the course of the video?",
    "What would you say about {regions} to somebody who cannot see the video?",
)
# One <region> with the name and the brackets that the source put around it.
_POINTED = re.compile(r"(?:<?object_?\d+>?:?\s*)?\[?" + re.escape(REGION) + r"\]?", re.IGNORECASE)


class VideoRefer(ListReader):
    """One draft per row."""

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Regions in the order of their ``<region>``; ``new_id`` means one frame, unless mode is multi."""
        raw = mapping(record.raw)
        refuse_clip(raw, WHOLE_VIDEO)
        turns = turns_of(raw)
        regions = sum(t.text.count(REGION) for t in turns if t.role is Role.USER)
        objects = objects_of(raw.get("annotation"), regions)
        if regions != len(objects) or not regions:
            raise RejectError(
                Reason.REGION_COUNT, f"{regions} {REGION} in the questions, {len(objects)} annotated objects"
            )
        if source.as_questions or source.question_templates:
            turns = _with_question(turns, source, seed, record.key)
        spoken = read_written_times(turns)
        kind = str(raw.get("type", ""))
        single = source.region_mode is RegionMode.SINGLE or (
            source.region_mode is RegionMode.AS_ANNOTATED and "new_id" in raw
        )
        return [
            Draft(
                key=record.key,
                task=Task.REFER,
                media=media_of(video_of(raw)),
                turns=spoken.turns,
                times=spoken.times,
                regions=tuple(track(o) for o in objects),
                one_region_frame=single,
                region_frame=question_frame(raw) if single else None,
                frame_size=frame_size(raw),
                category=kind,
                type=kind,
            )
        ]


def question_frame(raw: Mapping[str, Any]) -> int | None:
    """The frame in ``frame_idx``, for a single-frame question, written as a number or as text."""
    return whole(raw["frame_idx"], "frame_idx") if raw.get("frame_idx") is not None else None


def objects_in_question(text: str) -> str:
    """The objects of a question as it writes them: ``<object1><region>, <object2><region>``."""
    return ", ".join(_POINTED.findall(text))


def _with_question(
    turns: tuple[DraftTurn, ...], source: SourceConfig, seed: int, key: str
) -> tuple[DraftTurn, ...]:
    """The turns with another question; unchanged if there are several, which depend on the first one."""
    if len(turns) != 2:
        return turns
    template = pick(source.question_templates or QUESTIONS, seed, key, "question")
    text = fill(template, regions=objects_in_question(turns[0].text))
    return (DraftTurn(role=Role.USER, text=text), turns[1])


FORMAT = Format(
    name="videorefer",
    about="VideoRefer-700K: conversations that point at objects by masks",
    tasks=(Task.REFER,),
    reader=VideoRefer(),
    options=("as_questions", "region_mode", "question_templates"),
    question_blanks=("{regions}",),
)
