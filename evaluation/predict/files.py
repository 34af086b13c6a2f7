"""The files of an answer: answer.json, a PNG of each mask, the overlay video."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from evaluation.predict.overlay import write_overlay
from evaluation.predict.question import Question
from pipeline.records.masks import decode
from pipeline.records.sample import MaskTrack, TimeSpan

ANSWER: Final = "answer.json"
OVERLAY: Final = "overlay.mp4"
MASKS: Final = "masks"


def write_files(
    folder: Path,
    record: Mapping[str, object],
    question: Question,
    masks: Sequence[MaskTrack],
    spans: Sequence[TimeSpan],
    on_frames: Callable[[int], object],
) -> tuple[str, ...]:
    """Write everything into a local folder; names of what was written, a folder of masks as one.

    ``record`` is the content of answer.json. There is an overlay if there is anything to lay over the video.
    ``on_frames`` is called with the number of its frames that are written.
    """
    names = []
    for number, track in enumerate(masks, 1):
        names.append(f"{MASKS}/object-{number}")
        _write_masks(folder / names[-1], track)
    if has_overlay(question, masks, spans):
        write_overlay(
            folder / OVERLAY,
            question.clip,
            question.frames,
            masks=masks,
            regions=question.tracks,
            spans=spans,
            on_frames=on_frames,
        )
        names.append(OVERLAY)
    # One line for each part: indented all through, a mask would take five.
    parts = (f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in record.items())
    (folder / ANSWER).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    return (*names, ANSWER)


def has_overlay(question: Question, masks: Sequence[MaskTrack], spans: Sequence[TimeSpan]) -> bool:
    """Whether there is anything to draw on the video: a mask, a span or a region."""
    return bool(masks or spans or question.tracks)


def _write_masks(folder: Path, track: MaskTrack) -> None:
    """One PNG of one bit per frame, white inside, named by its frame; an absent object's is all black."""
    from PIL import Image

    folder.mkdir(parents=True)
    for frame, counts in zip(track.frames, track.counts, strict=True):
        mask = decode(counts, track.height, track.width)
        Image.fromarray(mask.astype(bool)).save(folder / f"{frame:05d}.png")
