"""VideoRefer-Bench-D: descriptions of one object that is marked by masks.

Format: https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench. ``frame_idx`` is text; it names the
annotated frame of the single-frame mode. ``caption`` is what a judge compares with: the ``reference``
and the answer of the conversation. The benchmark stores no question, so it is this project's unless the plan
gives one.
"""

from __future__ import annotations

from typing import Any

from datasets_prep.draft import Draft, DraftTurn, Media, Reason, RejectError
from datasets_prep.sources.bases.conversation import without_markers
from datasets_prep.sources.bases.fields import mapping, media_of, refuse_clip, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from datasets_prep.sources.bases.region_masks import WHOLE_VIDEO, frame_size, objects_of, track
from datasets_prep.sources.bases.segmentation_text import fill, pick
from datasets_prep.sources.formats.videorefer import question_frame
from pipeline.plan.data import RegionMode, SourceConfig
from pipeline.records.sample import REGION, Role, Task

QUESTIONS = ("Give a detailed description of the highlighted object {regions} in the video.",)
_FOLDER = "Panda-70M-part"  # the folder in the archive of the videos


class VideoReferBenchD(ListReader):
    """One draft per description."""

    suffixes = (".json",)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """Below the root, or below the archive's folder."""
        return (_media(mapping(record.raw).get("video")),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """One ``[<region>]`` for each object; the published rows have one object."""
        raw = mapping(record.raw)
        refuse_clip(raw, WHOLE_VIDEO)
        objects = objects_of(raw.get("annotation"), 1)
        if not objects:
            raise RejectError(Reason.REGION_COUNT, "no annotated object")
        question = pick(source.question_templates or QUESTIONS, seed, record.key, "question")
        caption = without_markers(text_field(raw, "caption"))
        single = source.region_mode is RegionMode.SINGLE
        return [
            Draft(
                key=record.key,
                task=Task.REFER,
                media=_media(raw.get("video")),
                turns=(
                    DraftTurn(
                        role=Role.USER, text=fill(question, regions=", ".join([f"[{REGION}]"] * len(objects)))
                    ),
                    DraftTurn(role=Role.ASSISTANT, text=caption),
                ),
                regions=tuple(track(o) for o in objects),
                one_region_frame=single,
                region_frame=question_frame(raw) if single else None,
                frame_size=frame_size(raw),
                reference=caption,
            )
        ]


def _media(video: Any) -> Media:
    return media_of(video, _FOLDER)


FORMAT = Format(
    name="videorefer_bench_d",
    about="VideoRefer-Bench-D: descriptions of one object",
    tasks=(Task.REFER,),
    reader=VideoReferBenchD(),
    options=("region_mode", "question_templates"),
    question_blanks=("{regions}",),
)
