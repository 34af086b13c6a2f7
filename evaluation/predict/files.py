"""The files of an answer: answer.json, a PNG of each mask, the overlay video."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evaluation.predict.overlay import write_overlay
from pipeline.records import masks as codec
from pipeline.records.sample import MaskTrack

if TYPE_CHECKING:
    from evaluation.predict.answer import Answer

ANSWER: Final = "answer.json"
OVERLAY: Final = "overlay.mp4"
MASKS: Final = "masks"


def write_files(folder: Path, answer: Answer, told: Callable[[int], object]) -> tuple[str, ...]:
    """Write everything into a local folder; names of what was written, a folder of masks as one.

    There is an overlay if there is anything to lay over: a mask, a span or a region.
    """
    names = []
    for number, track in enumerate(answer.masks, 1):
        names.append(f"{MASKS}/object-{number}")
        _write_masks(folder / names[-1], track)
    if has_overlay(answer):
        write_overlay(
            folder / OVERLAY,
            answer.asked.clip,
            answer.asked.frames,
            masks=answer.masks,
            regions=answer.asked.tracks,
            spans=answer.spans,
            told=told,
        )
        names.append(OVERLAY)
    # One line for each part: indented all through, a mask would take five.
    parts = (f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in answer.record().items())
    (folder / ANSWER).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    return (*names, ANSWER)


def has_overlay(answer: Answer) -> bool:
    """Whether there is anything to draw on the video."""
    return bool(answer.masks or answer.spans or answer.asked.tracks)


def _write_masks(folder: Path, track: MaskTrack) -> None:
    """One PNG of one bit per frame, white inside, named by its frame; an absent object's is all black."""
    from PIL import Image

    folder.mkdir(parents=True)
    for frame, counts in zip(track.frames, track.counts, strict=True):
        mask = codec.decode(counts, track.height, track.width)
        Image.fromarray(mask.astype(bool)).save(folder / f"{frame:05d}.png")
