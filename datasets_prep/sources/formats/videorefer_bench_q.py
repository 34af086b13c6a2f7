"""VideoRefer-Bench-Q: multiple choice about objects that are marked by masks.

Format: https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-Bench. ``frame_idx`` is text; it names the
annotated frame of the single-frame mode.
"""

from __future__ import annotations

from datasets_prep.draft import Draft, DraftTurn, Reason, RejectError
from datasets_prep.sources.bases.conversation import answer_index, option_text, without_markers
from datasets_prep.sources.bases.fields import mapping, media_of, refuse_clip, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from datasets_prep.sources.bases.region_masks import WHOLE_VIDEO, frame_size, objects_of, track
from datasets_prep.sources.formats.videorefer import question_frame
from pipeline.plan.data import RegionMode, SourceConfig
from pipeline.records.sample import REGION, Role, Task


class VideoReferBenchQ(ListReader):
    """One draft per question; ``category`` is its type."""

    suffixes = (".json",)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The turn is the question alone; evaluation adds the options."""
        raw = mapping(record.raw)
        refuse_clip(raw, WHOLE_VIDEO)
        question = without_markers(text_field(raw, "Question"))
        options = raw.get("options")
        if not isinstance(options, list) or len(options) < 2 or not all(isinstance(o, str) for o in options):
            raise RejectError(Reason.MALFORMED, "`options` is not a list of at least two texts")
        choices = tuple(option_text(o) for o in options)
        objects = objects_of(raw.get("annotation"), question.count(REGION))
        if question.count(REGION) != len(objects) or not objects:
            raise RejectError(
                Reason.REGION_COUNT,
                f"{question.count(REGION)} {REGION} in the question, {len(objects)} annotated objects",
            )
        single = source.region_mode is RegionMode.SINGLE
        kind = str(raw.get("type", ""))
        return [
            Draft(
                key=record.key,
                task=Task.CHOICE,
                media=media_of(raw.get("video")),
                turns=(DraftTurn(role=Role.USER, text=question),),
                regions=tuple(track(o) for o in objects),
                one_region_frame=single,
                region_frame=question_frame(raw) if single else None,
                frame_size=frame_size(raw),
                choices=choices,
                answer_index=answer_index(text_field(raw, "Answer"), choices),
                category=kind,
                type=kind,
            )
        ]


FORMAT = Format(
    name="videorefer_bench_q",
    about="VideoRefer-Bench-Q: multiple choice about objects",
    tasks=(Task.CHOICE,),
    reader=VideoReferBenchQ(),
    options=("region_mode",),
)
