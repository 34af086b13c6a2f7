"""Base of the formats with a ``meta_expressions.json``: videos with their frames and expressions.

``{"videos": {video: {"frames": [...], "expressions": {id: {"exp": ..., ids of objects}}}}}``. They differ in
where the masks are; a format defines that in ``locate`` and ``tracks``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from datasets_prep.draft import Draft, DraftTrack, Media, Reason, RejectError
from datasets_prep.sources.bases.fields import expression_of, mapping, media_of
from datasets_prep.sources.bases.grouped_chunks import Group, pack, places
from datasets_prep.sources.bases.reader import WHOLE, Files, Record, record_key
from datasets_prep.sources.bases.segmentation_text import segment
from datasets_prep.sources.bases.video_lists import VideoFilter
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.json.json_object import members
from datasets_prep.sources.json.opening import open_annotations
from datasets_prep.sources.json.parse import Unparsed, load_value
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig, Use
from pipeline.records.expressions import expression_key

# ``type_id`` of ReVOS
_KINDS = {0: "referring", 1: "reasoning", 2: "hallucination"}

Locate = Callable[[str, Mapping[str, Any]], tuple[Any, int]]


class Target(NamedTuple):
    """What an expression names.

    ``masks_end`` is one past the last frame with a mask of any of the video's objects; None for sets in which
    each mask names its frame, so that masks cannot be shifted.
    """

    track: DraftTrack
    masks_end: int | None = None


Tracks = Callable[[Mapping[str, Any], list[str]], Target]


class MetaFile(ABC):
    """One draft per expression, keyed ``<source>/<video>/<expression id>``."""

    suffixes: tuple[str, ...] = ("meta_expressions.json",)
    masks_name = ""  # what ``masks`` must be, for error messages

    @abstractmethod
    def locate(self, source: SourceConfig, files: Files) -> Locate:
        """A function of a video and its entry: where its masks are, as JSON, and their size in bytes."""

    @abstractmethod
    def tracks(self, source: SourceConfig, files: Files, video: str, place: Any) -> Tracks:
        """A function of an expression and the video's frames: the target. ``place`` is from ``locate``."""

    def frames(self, entry: Mapping[str, Any]) -> list[str]:
        """The names of a video's frames. Raises RejectError."""
        frames = entry.get("frames")
        if not isinstance(frames, list) or not frames or not all(isinstance(f, str) and f for f in frames):
            raise RejectError(Reason.MALFORMED, "`frames` is not a list of frame names")
        return frames

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """Videos with all their expressions; a chunk stores where the masks of its videos are.

        Without masks (hidden ground truth) a benchmark has no targets; training data needs them.
        """
        if files.masks is None and source.use is Use.TRAIN:
            raise UserError(
                f"source {source.name}",
                f"trains on {files.annotations} without {self.masks_name}.",
                "Set `masks` to it, or `use: benchmark` for a set whose ground truth is hidden.",
            )
        return pack(self._groups(source, files), limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Expressions in file order, each with the function that makes its target."""
        for part in [chunk] if chunk else self.chunks(source, files, WHOLE):
            with open_annotations(files.annotations) as file:
                for video, start, end, state, place in places(part):
                    entry = load_value(file, start, end)
                    yield from self._records(source, files, video, entry, state, place)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The folder of the video's frames."""
        raw = mapping(record.raw)
        return (_media(raw["video"], self.frames(raw)),) if "problem" not in raw else ()

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The question and answer are drawn from the templates by a hash of (seed, key)."""
        raw = mapping(record.raw)
        if "problem" in raw:
            raise RejectError(raw.get("reason", Reason.MALFORMED), raw["problem"])
        expression = mapping(raw["expression"])
        frames = self.frames(raw)
        text = expression_of(expression.get("exp"), "exp")
        media = _media(raw["video"], frames)
        target = raw["tracks"]()(expression, frames) if "tracks" in raw else None
        return [
            segment(
                record,
                source,
                seed,
                expression=text,
                media=media,
                target=target.track if target else None,
                masks_end=target.masks_end if target else None,
                category=_KINDS.get(expression.get("type_id", -1), ""),
                kind=str(expression.get("type_id", "")),
            )
        ]

    def _groups(self, source: SourceConfig, files: Files) -> Iterator[Group]:
        locate = self.locate(source, files)
        videos = VideoFilter(source, files)
        seen: set[str] = set()
        with open_annotations(files.annotations) as file:
            for member in members(files.annotations, "videos"):
                entry = load_value(file, member.start, member.end)
                expressions = _expressions(entry)
                place, size, count = None, 0, 1
                if member.name in seen:
                    state = "again"
                else:
                    state = "wanted" if videos.wants(member.name) else "left out"
                    count = 1 if expressions is None else len(expressions)
                if state == "wanted" and expressions is not None and files.masks is not None:
                    place, size = locate(member.name, entry)
                seen.add(member.name)
                yield Group(
                    place=(member.name, member.start, member.end, state, place),
                    count=count,
                    size=member.end - member.start + size,
                )
        videos.check_used()

    def _records(
        self, source: SourceConfig, files: Files, video: str, entry: Any, state: str, place: Any
    ) -> Iterator[Record]:
        key = record_key(source, files, video)
        expressions = _expressions(entry)
        if state == "again":
            problem = f"video {video} came before in this file"
            yield Record(key=key, raw={"problem": problem, "reason": Reason.DUPLICATE_KEY})
        elif state == "left out":
            for name in [None] if expressions is None else expressions:
                yield Record(key=key if name is None else expression_key(key, name), raw=None, left_out=True)
        elif expressions is None:
            problem = entry.problem if isinstance(entry, Unparsed) else "no `expressions`"
            yield Record(key=key, raw={"problem": problem})
        else:
            # Made when the first target is asked for: not every pass over the records needs the masks.
            tracks = cache(partial(self.tracks, source, files, video, place))
            for name, expression in expressions.items():
                raw = {"video": video, "frames": entry.get("frames"), "expression": expression}
                if files.masks is not None:
                    raw["tracks"] = tracks
                yield Record(key=expression_key(key, name), raw=raw)


def as_list(ids: Any) -> list[Any]:
    """A list of ids; a single id may be written without a list."""
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def _media(video: str, frames: Sequence[str]) -> Media:
    found = media_of(video).candidates[0]
    return Media(candidates=(found, f"JPEGImages/{found}"), frames=tuple(frames))


def _expressions(entry: Any) -> Mapping[str, Any] | None:
    found = entry.get("expressions") if isinstance(entry, Mapping) else None
    return found if isinstance(found, Mapping) else None
