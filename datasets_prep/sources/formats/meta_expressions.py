"""MeViS and ReVOS: ``meta_expressions.json`` beside ``mask_dict.json``.

Formats: https://github.com/henghuiding/MeViS, https://github.com/cilinyan/ReVOS-api. One expression names
several objects; its target is the union of their masks in each frame. ``mask_dict.json`` can be many GB, so
only the positions of its members are stored, and masks are read by position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets_prep.draft import DraftTrack, Reason, RejectError
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.meta_file import Locate, MetaFile, Target, Tracks, as_list
from datasets_prep.sources.bases.reader import Files
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.json.json_object import members
from datasets_prep.sources.json.opening import open_annotations
from datasets_prep.sources.json.parse import load_value
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Task

# ReVOS keeps its splits in one folder, in files whose names end in an underscore.
_REVOS = tuple(f"meta_expressions_{split}_.json" for split in ("train", "train_sub", "valid"))


class MetaExpressions(MetaFile):
    """Masks in ``mask_dict.json``: ``{anno_id: [RLE or null per frame]}``."""

    suffixes = ("meta_expressions.json", *_REVOS)
    masks_name = "a mask_dict.json"

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """As in the base class. Several files of ReVOS at once would train on its validation videos."""
        if files.name and files.annotations.name in _REVOS:
            raise UserError(
                f"source {source.name}",
                f"{files.annotations.name} is beside other splits of ReVOS, which would all be read.",
                "Point `annotations` at one file.",
            )
        return super().chunks(source, files, limits)

    def locate(self, source: SourceConfig, files: Files) -> Locate:
        """The positions of a video's annotations in mask_dict.json."""
        everything: dict[str, tuple[int, int]] = {}
        for member in members(files.masks) if files.masks else ():
            if member.name in everything:
                raise UserError(
                    str(files.masks),
                    f"holds annotation {member.name} twice.",
                    "Remove the one that is wrong.",
                )
            everything[member.name] = (member.start, member.end)

        def of_video(video: str, entry: Mapping[str, Any]) -> tuple[dict[str, tuple[int, int]], int]:
            ids = {i for expression in entry["expressions"].values() for i in _ids(expression)}
            there = {i: everything[i] for i in sorted(ids) if i in everything}
            return there, sum(end - start for start, end in there.values())

        return of_video

    def tracks(self, source: SourceConfig, files: Files, video: str, place: Any) -> Tracks:
        """The union of the masks of an expression's annotations."""
        assert files.masks is not None, "without masks there are no tracks"
        return VideoMasks(files.masks, place)


class VideoMasks:
    """The annotations of one video, each read once for all expressions that name it.

    ``places`` are the first and the last byte of each in ``mask_dict.json``.
    """

    def __init__(self, path: Path, places: Mapping[str, Any]) -> None:
        self._path, self._places = path, places
        self._read: dict[str, Any] = {}

    def __call__(self, expression: Mapping[str, Any], frames: list[str]) -> Target:
        """The union of the masks of an expression's annotations.

        Each list of masks is as long as that of the frames; some sets store masks too far to the front.
        """
        _check_ids(expression)
        tracks = []
        for name in _ids(expression):
            if name not in self._places:
                raise RejectError(Reason.MASK_MISSING, f"annotation {name} is not in mask_dict.json")
            track = self._track(name)
            if not isinstance(track, list) or len(track) != len(frames):
                count = len(track) if isinstance(track, list) else "no"
                raise RejectError(
                    Reason.MASKS_SHIFTED, f"annotation {name} has {count} masks for {len(frames)} frames"
                )
            tracks.append(track)
        united = tuple((i, tuple(track[i] for track in tracks)) for i in range(len(frames)))
        return Target(DraftTrack(masks=united), self._masks_end)

    @cached_property
    def _masks_end(self) -> int | None:
        """One past the last frame with a mask in any annotation of the video; None without any."""
        tracks = [track for track in map(self._track, self._places) if isinstance(track, list)]
        return max((end for track in tracks if (end := _end(track))), default=None)

    def _track(self, name: str) -> Any:
        if name not in self._read:
            with open_annotations(self._path) as file:
                self._read[name] = load_value(file, *self._places[name])
        return self._read[name]


def _end(track: list[Any]) -> int:
    return next((n for n in range(len(track), 0, -1) if _has_pixel(track[n - 1])), 0)


def _has_pixel(form: Any) -> bool:
    """Whether a mask has any pixel; True for a mask that cannot be read, which is rejected elsewhere."""
    from pipeline.records import masks

    if form is None:
        return False
    try:
        height, width = form["size"]
        return masks.area(masks.from_source(form, height, width), height, width) > 0
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return True


def _check_ids(expression: Mapping[str, Any]) -> None:
    """Check the ids. An expression that fits no object (ReVOS has some) has two empty lists of ids."""
    ids, objects = expression.get("anno_id"), expression.get("obj_id")
    if ids is None:
        raise RejectError(
            Reason.MALFORMED, "`anno_id` is missing, so its masks in mask_dict.json are not known"
        )
    if not as_list(ids) and as_list(objects):
        raise RejectError(Reason.MALFORMED, f"`anno_id` is empty, but `obj_id` names objects: {objects!r}")


def _ids(expression: Any) -> list[str]:
    return [str(i) for i in as_list(expression.get("anno_id"))] if isinstance(expression, Mapping) else []


FORMAT = Format(
    name="meta_expressions",
    about="MeViS, ReVOS: meta_expressions.json beside mask_dict.json",
    tasks=(Task.SEGMENT,),
    reader=MetaExpressions(),
    options=("masks", "keep_videos", "drop_videos", "question_templates", "answer_templates"),
    one_file=True,
    truth_in="masks",
    masks_beside="mask_dict.json",
)
