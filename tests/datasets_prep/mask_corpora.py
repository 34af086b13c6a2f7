"""Small mask datasets in the layout of their downloads, and helpers from a reader to a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets_prep.draft import Draft, Reason, RejectError
from datasets_prep.passes.finish import finish
from datasets_prep.passes.probe import probe_video
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.json.json_file import Limits
from pipeline.plan.data import SourceConfig
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample
from pipeline.storage.location import Location

HEIGHT, WIDTH = 24, 40
LEFT_OUT = "left out"
_TINY = (Limits(records=1, bytes=1 << 20), Limits(records=3, bytes=1 << 20), Limits(records=99, bytes=1))


def source(fmt: str, **more: Any) -> SourceConfig:
    return SourceConfig.model_validate(
        {"name": "s", "format": fmt, "annotations": "x", "media": ("m",), **more}
    )


def read(config: SourceConfig, files: Files) -> dict[str, Any]:
    """Draft, RejectError or LEFT_OUT of every key; checked to be the same for any chunks."""
    reader = reader_of(config.format)
    out: dict[str, Any] = {}
    for record in reader.records(config, files):
        assert record.key not in out, record.key
        if record.left_out:
            assert record.raw is None
            out[record.key] = LEFT_OUT
            continue
        try:
            (out[record.key],) = reader.convert(record, config, 1)
        except RejectError as error:
            out[record.key] = error
        else:
            assert reader.media(record, config, 1) == (out[record.key].media,)
    for limits in _TINY:
        keys = []
        chunks = list(reader.chunks(config, files, limits))
        assert [c.first for c in chunks] == [sum(c.count for c in chunks[:at]) for at in range(len(chunks))]
        for chunk in reversed(chunks):  # any chunk alone, in any order
            part = [(r.key, r.left_out) for r in reader.records(config, files, chunk)]
            assert len(part) == chunk.count
            keys = part + keys
        assert keys == [(key, found == LEFT_OUT) for key, found in out.items()]
    return out


def reasons(found: Mapping[str, Any]) -> dict[str, Reason]:
    return {key: error.reason for key, error in found.items() if isinstance(error, RejectError)}


def sample(draft: Draft, config: SourceConfig, media: Path) -> Sample:
    """Probe the media, finish and check, as the job does. Raises RejectError."""
    place, path = next((media / c, c) for c in draft.media.candidates if (media / c).exists())
    video = probe_video(Location.parse(place), path, draft.media.frames, draft.media.folder_fps or 3.0)
    made = finish(draft, config, video, 1).sample
    check(made, config.use, config.min_frames or 2)
    return made


def reject_reason(draft: Draft, config: SourceConfig, media: Path) -> Reason | None:
    try:
        sample(draft, config, media)
    except RejectError as error:
        return error.reason
    return None


def pixels(track: MaskTrack) -> np.ndarray:
    """[N, H, W] of 0 and 1."""
    return masks.decode_many(track.counts, track.height, track.width)


def label_image(boxes: Mapping[int, Sequence[int]], size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Values of a palette image; ``boxes`` gives top, left, bottom, right of each."""
    labels_HW = np.zeros(size, np.uint8)
    for number, (top, left, bottom, right) in boxes.items():
        labels_HW[top:bottom, left:right] = number
    return labels_HW


def write_labels(path: Path, labels_HW: np.ndarray, *, palette: bool = True) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels_HW)
    if palette:
        image.putpalette([(7 * i) % 256 for i in range(768)])
        assert image.mode == "P"
    image.save(path)


def write_frames(folder: Path, names: Sequence[str], size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for at, name in enumerate(names):
        Image.fromarray(np.full((*size, 3), 30 + at, np.uint8)).save(folder / f"{name}.jpg")


def renamed(files: Files, name: str) -> Files:
    return replace(files, name=name)
