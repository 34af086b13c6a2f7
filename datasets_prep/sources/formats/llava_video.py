"""LLaVA-Video-178K: JSON lists of conversations, open-ended (many turns) or multiple choice.

Format: https://huggingface.co/datasets/lmms-lab/LLaVA-Video-178K. ``<image>`` marks the video; ids repeat, so
the key of a record is its index in the file. UFVideo's own QA lists, with spans as tokens, have the same
form, and the lists of {"messages", "videos"} of other trainers a similar one. ``start`` and ``end`` bound the
clip.

The set's card counts items, one per question: its 960,792 open-ended ones are in far fewer rows.
``split_turns`` makes each question a sample, so that a plan can select among items instead of rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Media, RejectError
from datasets_prep.sources.bases.conversation import (
    choice_of,
    plain_texts,
    read_written_times,
    turns_of,
    video_of,
)
from datasets_prep.sources.bases.fields import CLIP_FIELDS, clip_of, mapping, media_of
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Dialogue, Files, ListReader, Record
from datasets_prep.sources.json.json_file import Chunk
from datasets_prep.sources.row_lists import list_records
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

_MORE = CLIP_FIELDS | {"messages"}  # fields that a plain dialogue does not have


class LlavaVideo(ListReader):
    """One draft per row; with ``split_turns`` one per question, without the other turns."""

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """Below the root, or below the folder of its ``data_source``."""
        raw = mapping(record.raw)
        return (media_of(video_of(raw), str(raw.get("data_source", ""))),)

    def rows(self, files: Files, chunk: Chunk) -> Iterator[Any]:
        """The rows, without the check for names that occur twice in an object."""
        return list_records(files.annotations, chunk, check_names=False)

    def names_media(self, raw: Any) -> Hashable:
        """The two fields that determine the media, if they are texts."""
        try:
            named = raw["video"], raw["data_source"]
        except (TypeError, KeyError):
            return None
        return named if type(named[0]) is str and type(named[1]) is str else None

    def dialogue(self, record: Record, source: SourceConfig) -> Dialogue | None:
        """A row without times that is not split into its questions."""
        raw = record.raw
        if type(raw) is not dict or not _MORE.isdisjoint(raw):
            return None
        texts = plain_texts(raw.get("conversations"))
        if texts is None or (source.split_turns and len(texts) > 2):
            return None
        origin = str(raw.get("data_source", ""))
        try:
            media = media_of(raw.get("video"), origin)
            choices, right = choice_of(texts[0], texts[1]) if len(texts) == 2 else ((), -1)
        except RejectError:
            return None
        return Dialogue(media, texts, origin, choices, right)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """A row with options in its only question is a multiple choice, one with spans a temporal task."""
        raw = mapping(record.raw)
        origin = str(raw.get("data_source", ""))
        turns = turns_of(raw)
        media = media_of(video_of(raw), origin)
        clip = clip_of(raw)
        if not source.split_turns or len(turns) == 2:
            return [_draft(record.key, turns, media, origin, clip)]
        drafts = []
        for part in range(len(turns) // 2):
            pair = turns[2 * part : 2 * part + 2]
            try:
                drafts.append(_draft(f"{record.key}/{part}", pair, media, origin, clip))
            except RejectError as error:  # the whole row is rejected, so name the question
                raise RejectError(error.reason, f"question {part}: {error.detail}") from error
        return drafts


def _draft(
    key: str, turns: tuple[DraftTurn, ...], media: Media, origin: str, clip: DraftSpan | None
) -> Draft:
    choices, right = choice_of(turns[0].text, turns[1].text) if len(turns) == 2 else ((), -1)
    spoken = read_written_times(turns)
    return Draft(
        key=key,
        task=Task.CHOICE if choices else Task.TEMPORAL if spoken.times else Task.QA,
        media=media,
        turns=spoken.turns,
        times=spoken.times,
        clip=clip,
        choices=choices,
        answer_index=right,
        category=origin,
        type=origin,
    )


FORMAT = Format(
    name="llava_video",
    about="LLaVA-Video-178K: JSON lists of conversations",
    tasks=(Task.QA, Task.CHOICE, Task.TEMPORAL),
    reader=LlavaVideo(),
    options=("split_turns",),
)
