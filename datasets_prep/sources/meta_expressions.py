"""MeViS and sets of its form: ``meta_expressions.json`` beside ``mask_dict.json``.

Format: https://github.com/henghuiding/MeViS. One expression names several objects; its target is the union of
their masks in each frame. ``mask_dict.json`` can be many GB, so it is copied once, stream to stream, into a
temporary file that is read by position.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import orjson

from datasets_prep.draft import Draft, DraftTrack, DraftTurn, Media, Reason, RejectError
from datasets_prep.sources.base import Files, Record, mapping, record_key
from datasets_prep.sources.json_stream import pairs
from pipeline.config.data import SourceConfig, Use
from pipeline.errors import UserError
from pipeline.schema.sample import SEG, Role, Task

QUESTIONS = ("Can you segment the {expression} in this video?",)
ANSWERS = (f"Sure, {SEG}.",)
_KINDS = {0: "referring", 1: "reasoning", 2: "hallucination"}  # ``type_id`` of ReVOS, which has this form


class MetaExpressions:
    """One draft per expression, keyed ``<source>/<video>/<expression id>``."""

    suffixes = ("meta_expressions.json",)

    def records(self, source: SourceConfig, files: Files) -> Iterator[Record]:
        """Expressions in file order, each with its masks beside it.

        Without ``mask_dict.json`` (hidden truth) a benchmark has no targets; training data needs it.
        """
        if files.masks is None and source.use is Use.TRAIN:
            raise UserError(
                f"source {source.name}",
                f"trains on {files.annotations} without a mask_dict.json.",
                "Set `masks` to that file, or `use: benchmark` for a set whose truth is hidden.",
            )
        with tempfile.TemporaryFile() as copy:
            places = _copy_masks(files, copy) if files.masks else None
            for video, entry in pairs(files.annotations, "videos"):
                expressions = entry.get("expressions") if isinstance(entry, Mapping) else None
                if not isinstance(expressions, Mapping):
                    yield Record(
                        key=record_key(source, files, video),
                        raw={"video": video, "problem": "no `expressions`"},
                    )
                    continue
                for name, expression in expressions.items():
                    raw = {"video": video, "frames": entry.get("frames"), "expression": expression}
                    if places is not None:
                        raw["masks"] = _masks(expression, places, copy)
                    yield Record(key=record_key(source, files, video, name), raw=raw)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """The question and answer are drawn from the templates by a hash of (seed, key)."""
        raw = mapping(record.raw)
        if "problem" in raw:
            raise RejectError(Reason.MALFORMED, raw["problem"])
        said = mapping(raw["expression"])
        words = said.get("exp")
        if not isinstance(words, str) or not words.strip():
            raise RejectError(Reason.MALFORMED, "`exp` is missing or no text")
        frames = raw["frames"]
        if not isinstance(frames, list) or not frames or not all(isinstance(f, str) for f in frames):
            raise RejectError(Reason.MALFORMED, "`frames` is no list of frame names")
        words = " ".join(words.split())
        question = pick(source.question_templates or QUESTIONS, seed, record.key, "question")
        answer = pick(source.answer_templates or ANSWERS, seed, record.key, "answer")
        turns = [DraftTurn(role=Role.USER, text=question.replace("{expression}", words))]
        targets: tuple[DraftTrack, ...] = ()
        if "masks" in raw:
            _check_ids(said)
            targets = (_target(raw["masks"], len(frames)),)
            turns.append(DraftTurn(role=Role.ASSISTANT, text=answer.replace("{expression}", words)))
        return [
            Draft(
                key=record.key,
                task=Task.SEGMENT,
                media=Media(candidates=(raw["video"], f"JPEGImages/{raw['video']}"), frames=tuple(frames)),
                turns=tuple(turns),
                targets=targets,
                expression=words,
                category=_KINDS.get(said.get("type_id", -1), ""),
                type=str(said.get("type_id", "")),
            )
        ]


def pick(templates: tuple[str, ...], seed: int, key: str, purpose: str) -> str:
    """One template, by a hash of the names alone."""
    draw = hashlib.sha256(f"{seed}\0{key}\0{purpose}".encode()).digest()
    return templates[int.from_bytes(draw[:8], "big") % len(templates)]


def _target(masks: dict[str, Any], frames: int) -> DraftTrack:
    for name, track in masks.items():
        if track is None:
            raise RejectError(Reason.MASK_MISSING, f"annotation {name} is not in mask_dict.json")
        if not isinstance(track, list) or len(track) != frames:
            count = len(track) if isinstance(track, list) else "no"
            raise RejectError(Reason.BAD_MASK, f"annotation {name} has {count} masks for {frames} frames")
    return DraftTrack(masks=tuple((i, tuple(track[i] for track in masks.values())) for i in range(frames)))


def _check_ids(said: Mapping[str, Any]) -> None:
    """An expression that nothing fits (ReVOS has some) says so by two empty lists, not by leaving ids out."""
    ids, objects = said.get("anno_id"), said.get("obj_id")
    if ids is None:
        raise RejectError(
            Reason.MALFORMED, "`anno_id` is missing: which masks of mask_dict.json it means is not said"
        )
    if not _listed(ids) and _listed(objects):
        raise RejectError(Reason.MALFORMED, f"`anno_id` is empty, but `obj_id` names objects: {objects!r}")


def _listed(ids: Any) -> list[Any]:
    """A single id may stand without a list."""
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def _masks(expression: Any, places: dict[str, tuple[int, int]], copy: BinaryIO) -> dict[str, Any]:
    ids = expression.get("anno_id") if isinstance(expression, Mapping) else None
    found: dict[str, Any] = {}
    for name in map(str, _listed(ids)):
        if name in places:
            at, length = places[name]
            copy.seek(at)
            found[name] = orjson.loads(copy.read(length))
        else:
            found[name] = None
    return found


def _copy_masks(files: Files, copy: BinaryIO) -> dict[str, tuple[int, int]]:
    """Annotation id -> (position, length) of its masks in ``copy``."""
    assert files.masks is not None
    places = {}
    for name, track in pairs(files.masks, ""):
        text = orjson.dumps(track)
        places[name] = (copy.tell(), len(text))
        copy.write(text)
    return places
