"""Ref-SAV: long descriptions of objects whose masks are SA-V's own files.

Format of ``Ref-SAV.json``: https://github.com/magic-research/Sa2VA, ``{video: {"video_path", "anno_path",
"objects": {number: {"formated": text}}}}``. Format of ``<video>_manual.json``:
https://github.com/facebookresearch/sam2/tree/main/sav_dataset, ``masklet[k][number]`` is the RLE of an object
in frame 4k of the video (six of 24 frames a second are annotated). An absent object is a mask of area 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import Draft, DraftTrack, Media, Reason, RejectError
from datasets_prep.sources.bases.fields import expression_of, mapping, media_of, whole
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.grouped_chunks import Group, pack, places
from datasets_prep.sources.bases.reader import WHOLE, Files, Record, record_key
from datasets_prep.sources.bases.segmentation_text import segment
from datasets_prep.sources.bases.video_lists import VideoFilter
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.json.json_object import members
from datasets_prep.sources.json.opening import open_annotations
from datasets_prep.sources.json.parse import load_value
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

QUESTIONS = ("Which object of this video is described here? {expression} Please segment it.",)
_EVERY = 4  # frames of the video from one annotated frame to the next


class RefSav:
    """One draft per object, keyed ``<source>/<video>/<number of the object>``."""

    suffixes = ("Ref-SAV.json",)

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Videos with all their objects; a chunk stores where the masks of its videos are."""
        if files.masks is None or not files.masks.is_dir():
            raise UserError(
                f"source {source.name}",
                f"needs a folder of masklets, not {files.masks}.",
                "Set `masks` to the folder of SA-V below which its `*_manual.json` lie.",
            )
        return pack(_groups(source, files), limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Objects in file order; those of one video share its masklets."""
        for part in [chunk] if chunk else self.chunks(source, files, WHOLE):
            with open_annotations(files.annotations) as file:
                for video, start, end, state, masklets in places(part):
                    yield from _records(source, files, video, load_value(file, start, end), state, masklets)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The row's ``video_path``."""
        raw = mapping(record.raw)
        return (_media(raw["entry"]),) if "problem" not in raw else ()

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The text is a paragraph, so the question has it as sentences of its own."""
        raw = mapping(record.raw)
        if "problem" in raw:
            raise RejectError(raw["reason"], raw["problem"])
        return [
            segment(
                record,
                source,
                seed,
                expression=expression_of(mapping(raw["object"]).get("formated"), "formated"),
                media=_media(raw["entry"]),
                target=raw["masklets"].track(whole(raw["number"], "object")),
                questions=QUESTIONS,
            )
        ]


class _Masklets:
    """The masks of one video, read on demand, once for all its objects."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._data: Mapping[str, Any] | None = None

    def track(self, number: int) -> DraftTrack:
        """One object. Raises RejectError if its masks are missing or the file has another form."""
        if self._path is None:
            raise RejectError(Reason.MASK_MISSING, "`anno_path` is nowhere below `masks`")
        if self._data is None:
            with open_annotations(self._path) as file:
                self._data = mapping(load_value(file, 0, self._path.stat().st_size))
        frames, ids = self._data.get("masklet"), self._data.get("masklet_id")
        if not isinstance(frames, list) or not frames or not all(isinstance(f, list) for f in frames):
            raise RejectError(Reason.BAD_MASK, f"`masklet` of {self._path.name} is not a list of frames")
        if number < 0 or any(number >= len(frame) for frame in frames):
            raise RejectError(Reason.MASK_MISSING, f"{self._path.name} has no object {number}")
        if isinstance(ids, list) and (number >= len(ids) or ids[number] != number):
            # Objects are numbered by position; with other ids it would be a guess.
            raise RejectError(Reason.MALFORMED, f"`masklet_id` of {self._path.name} is not 0, 1, 2 ...")
        return DraftTrack(masks=tuple((_EVERY * k, (frame[number],)) for k, frame in enumerate(frames)))


def _groups(source: SourceConfig, files: Files) -> Iterator[Group]:
    assert files.masks is not None, "checked where chunks are cut"
    wants = VideoFilter(source, files)
    seen: set[str] = set()
    with open_annotations(files.annotations) as file:
        for member in members(files.annotations):
            entry = load_value(file, member.start, member.end)
            objects = _objects(entry)
            count, size, masklets = 1, 0, None
            if member.name in seen:
                state = "again"
            else:
                state = "wanted" if wants.wants(member.name) else "left out"
                count = 1 if objects is None else len(objects)
            if state == "wanted" and objects is not None:
                masklets = _find(files.masks, entry.get("anno_path"))
                size = (files.masks / masklets).stat().st_size if masklets else 0
            seen.add(member.name)
            yield Group(
                place=(member.name, member.start, member.end, state, masklets),
                count=count,
                size=member.end - member.start + size,
            )
    wants.check_used()


def _records(
    source: SourceConfig, files: Files, video: str, entry: Any, state: str, masklets: str | None
) -> Iterator[Record]:
    assert files.masks is not None, "checked where chunks are cut"
    key = record_key(source, files, video)
    objects = _objects(entry)
    if state == "again":
        problem = f"video {video} came before in this file"
        yield Record(key=key, raw={"problem": problem, "reason": Reason.DUPLICATE_KEY})
    elif objects is None and state == "wanted":
        yield Record(key=key, raw={"problem": "no `objects`", "reason": Reason.MALFORMED})
    elif state == "left out":
        for number in [None] if objects is None else objects:
            yield Record(key=key if number is None else f"{key}/{number}", raw=None, left_out=True)
    else:
        shared = _Masklets(files.masks / masklets if masklets else None)
        for number, described in (objects or {}).items():
            raw = {"entry": entry, "number": number, "object": described, "masklets": shared}
            yield Record(key=f"{key}/{number}", raw=raw)


def _find(masks: Path, path: Any) -> str | None:
    """Path of the file below ``masks``: paths in Ref-SAV.json begin with their author's folders."""
    try:
        endings = _endings(path)
    except RejectError:
        return None
    return next((ending for ending in endings if (masks / ending).is_file()), None)


def _media(entry: Mapping[str, Any]) -> Media:
    return Media(candidates=tuple(_endings(entry.get("video_path"))))


def _endings(path: Any) -> list[str]:
    """A path, and the path without each of its first folders. Raises RejectError for one with ``..``."""
    parts = media_of(path).candidates[0].split("/")
    return ["/".join(parts[at:]) for at in range(len(parts))]


def _objects(entry: Any) -> Mapping[str, Any] | None:
    found = entry.get("objects") if isinstance(entry, Mapping) else None
    return found if isinstance(found, Mapping) else None


FORMAT = Format(
    name="ref_sav",
    about="Ref-SAV.json and SA-V's masklets",
    tasks=(Task.SEGMENT,),
    reader=RefSav(),
    options=("masks", "keep_videos", "drop_videos", "question_templates", "answer_templates"),
    one_file=True,
)
