"""UFVideo's own training rows of segmentation sets.

Format: as UFVideo's public training code reads them; the lists themselves were never published. ``video``
lists frame paths, ``segmentations`` one RLE or null for each, ``conversations[0]`` is the bare expression.
``no_none_frame_idx`` lists the frames that have a mask, from which the reference draws; it is checked,
because a row whose lists disagree has been shifted or cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets_prep.draft import Draft, DraftTrack, Reason, RejectError
from datasets_prep.sources.bases.fields import expression_of, mapping, media_of, whole
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from datasets_prep.sources.bases.region_masks import frame_size
from datasets_prep.sources.bases.segmentation_text import segment
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task


class UfvideoSeg(ListReader):
    """One draft per row."""

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """A null means that the object is absent from that frame."""
        raw = mapping(record.raw)
        turns = raw.get("conversations")
        expression = expression_of(
            turns[0] if isinstance(turns, list) and turns else None, "conversations[0]"
        )
        media = media_of(raw.get("video"))
        if not media.frames:
            raise RejectError(Reason.MALFORMED, "`video` is not a list of frames")
        target = _target(raw, len(media.frames))
        return [
            segment(
                record,
                source,
                seed,
                expression=expression,
                media=media,
                target=target,
                masks_end=max((at + 1 for at, (mask,) in target.masks if mask is not None), default=None),
                frame_size=frame_size(raw),
            )
        ]


def _target(raw: Mapping[str, Any], frames: int) -> DraftTrack:
    masks = raw.get("segmentations")
    if not isinstance(masks, list):
        raise RejectError(Reason.MALFORMED, "`segmentations` is not a list of masks")
    length = whole(raw["length"], "length") if raw.get("length") is not None else frames
    if len(masks) != frames or length != frames:
        raise RejectError(
            Reason.MASKS_SHIFTED, f"{len(masks)} masks and a `length` of {length} for {frames} frames"
        )
    frames_listed = raw.get("no_none_frame_idx")
    if frames_listed is not None:
        is_list = isinstance(frames_listed, list)
        listed = [whole(at, "no_none_frame_idx") for at in frames_listed] if is_list else None
        if listed is None or sorted(set(listed)) != [at for at, mask in enumerate(masks) if mask is not None]:
            raise RejectError(Reason.MASKS_SHIFTED, "`no_none_frame_idx` are not the frames that have a mask")
    return DraftTrack(masks=tuple((at, (mask,)) for at, mask in enumerate(masks)))


FORMAT = Format(
    name="ufvideo_seg",
    about="segmentation rows of UFVideo's own training lists",
    tasks=(Task.SEGMENT,),
    reader=UfvideoSeg(),
    options=("question_templates", "answer_templates"),
)
