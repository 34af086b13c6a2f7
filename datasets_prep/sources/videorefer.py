"""VideoRefer-700K: conversations that point at objects by masks.

Format: https://huggingface.co/datasets/DAMO-NLP-SG/VideoRefer-700K. ``annotation[i]`` belongs to the i-th
``<region>``; its keys are indices of decoded frames.
"""

from __future__ import annotations

from datasets_prep.draft import Draft, Reason, RejectError
from datasets_prep.sources.annotation import frame_size, objects_of, track
from datasets_prep.sources.base import mapping, media_of
from datasets_prep.sources.conversation import read_written_times, turns_of
from datasets_prep.sources.reader import ListReader, Record
from pipeline.config.data import RegionMode, SourceConfig
from pipeline.schema.sample import REGION, Role, Task


class VideoRefer(ListReader):
    """One draft per row."""

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """Regions in the order of their ``<region>``; ``new_id`` means one frame, but for multi."""
        raw = mapping(record.raw)
        spoken = read_written_times(turns_of(raw.get("conversations")))
        asked = sum(t.text.count(REGION) for t in spoken.turns if t.role is Role.USER)
        objects = objects_of(raw.get("annotation"), asked)
        if asked != len(objects) or not asked:
            raise RejectError(
                Reason.REGION_COUNT, f"{asked} {REGION} in the questions, {len(objects)} annotated objects"
            )
        kind = str(raw.get("type", ""))
        return [
            Draft(
                key=record.key,
                task=Task.REFER,
                media=media_of(raw.get("video")),
                turns=spoken.turns,
                times=spoken.times,
                regions=tuple(track(o) for o in objects),
                one_region_frame=source.region_mode is RegionMode.SINGLE
                or (source.region_mode is RegionMode.AS_ANNOTATED and "new_id" in raw),
                frame_size=frame_size(raw),
                category=kind,
                type=kind,
            )
        ]
