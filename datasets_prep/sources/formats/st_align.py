"""ST-Align (LLaVA-ST): numberless placeholders in the text, filled left to right from ``variables``.

Format: https://huggingface.co/datasets/appletea2333/ST-Align-Dataset. Values are fractions of the frame range
``meta.split`` (first and last frame, both included) or of the clip that ``start`` and ``end`` bound in
seconds, else of the whole video. Lists of
general questions (Conversation, VideoQA, Classification, Captioning) have no placeholders; rows about one
still image name it in ``image`` and need ``min_frames: 1``; VideoGPT's videos are folders of stills at two
frames per second, which ``folder_fps: 2`` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from datasets_prep.draft import Draft, DraftSpan, DraftTurn, Media, Reason, RejectError, Unit, time_mark
from datasets_prep.sources.bases.conversation import choice_of, turns_of, video_of
from datasets_prep.sources.bases.fields import clip_of, mapping, media_of, number, refuse_clip, whole
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Files, ListReader, Record
from datasets_prep.sources.json.json_file import Chunk
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

_ONE = r"<TEMP-(INPUT|OUTPUT)>"
_PAIR_OR_ONE = re.compile(r"\{\s*" + _ONE + r"\s*,?\s*" + _ONE + r"\s*\}|" + _ONE)
_SPATIAL = re.compile(r"<(?:WIDTH|HEIGHT)-(?:INPUT|OUTPUT)>")
_LISTS = {"INPUT": "temporal_input_locations", "OUTPUT": "temporal_output_locations"}


class StAlign(ListReader):
    """One draft per row."""

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Rows in file order; with ``drop_spatial`` those with boxes are left out."""
        for record in super().records(source, files, chunk):
            if source.drop_spatial and _has_boxes(record.raw):
                record = Record(key=record.key, raw=None, file=record.file, left_out=True)
            yield record

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The row's ``video``, or its ``image``."""
        return (_media(mapping(record.raw)),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """A pair of placeholders in braces is a span; a lone one ("Starts in ...") becomes one time token."""
        raw = mapping(record.raw)
        turns = turns_of(raw)
        if any(_SPATIAL.search(t.text) for t in turns):
            raise RejectError(
                Reason.SPATIAL,
                "the text holds boxes (WIDTH/HEIGHT placeholders); `drop_spatial` leaves them out",
            )
        filled, times = _fill(turns, raw.get("variables") or {})
        choices: tuple[str, ...] = ()
        right = -1
        if len(filled) == 2 and not times:
            choices, right = choice_of(filled[0].text, filled[1].text)
        kind = str(raw.get("type", ""))
        return [
            Draft(
                key=record.key,
                task=Task.TEMPORAL if times else Task.CHOICE if choices else Task.QA,
                media=_media(raw),
                turns=filled,
                times=times,
                clip=_clip(raw),
                choices=choices,
                answer_index=right,
                category=kind,
                type=kind,
            )
        ]


def _media(raw: Mapping[str, Any]) -> Media:
    video = video_of(raw)
    return media_of(raw["image"] if video is None and "image" in raw else video)


def _has_boxes(raw: Any) -> bool:
    try:
        return any(_SPATIAL.search(turn.text) for turn in turns_of(mapping(raw)))
    except RejectError:  # the record is rejected and counted where drafts are made
        return False


def _fill(
    turns: tuple[DraftTurn, ...], variables: Any
) -> tuple[tuple[DraftTurn, ...], tuple[DraftSpan, ...]]:
    if not isinstance(variables, Mapping):
        raise RejectError(Reason.MALFORMED, "`variables` is not an object")
    values = {}
    for word, name in _LISTS.items():
        listed = variables.get(name) or []
        if not isinstance(listed, list):
            raise RejectError(Reason.MALFORMED, f"`variables.{name}` is not a list")
        placed = sum(t.text.count(f"<TEMP-{word}>") for t in turns)
        if placed != len(listed):
            raise RejectError(
                Reason.PLACEHOLDERS,
                f"{placed} <TEMP-{word}> in the text, `variables.{name}` has {len(listed)} values",
            )
        values[word] = iter([number(v, name) for v in listed])
    times: list[DraftSpan] = []

    def fill(found: re.Match[str]) -> str:
        first, second, lone = found.groups()
        start = next(values[lone or first])
        end = None if lone else next(values[second])
        times.append(DraftSpan(start=start, end=end, unit=Unit.FRACTION))
        return time_mark(len(times) - 1)

    changed = tuple(DraftTurn(role=t.role, text=_PAIR_OR_ONE.sub(fill, t.text)) for t in turns)
    return changed, tuple(times)


def _clip(raw: Mapping[str, Any]) -> DraftSpan | None:
    meta = raw.get("meta")
    if not isinstance(meta, Mapping) or meta.get("split") is None:
        return clip_of(raw)
    refuse_clip(raw, "`meta.split` names the clip already")
    split = meta["split"]
    if not isinstance(split, list) or len(split) != 2:
        raise RejectError(Reason.MALFORMED, "`meta.split` is not a pair of frames")
    first, last = (whole(v, "meta.split") for v in split)
    return DraftSpan(start=first, end=last, unit=Unit.FRAMES)


FORMAT = Format(
    name="st_align",
    about="ST-Align: placeholders in the text, filled from variables",
    tasks=(Task.QA, Task.CHOICE, Task.TEMPORAL),
    reader=StAlign(),
    options=("drop_spatial",),
)
