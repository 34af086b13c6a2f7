"""Objects of one's own data: masks at numbers of frames or at times, as RLE, polygons or PNG files.

An object is a list of marks, one mark, or an object of JSON with its masks by frame:

* ``[{"frame": 12, "mask": MASK}, {"time": 1.5, "mask": MASK}]``
* ``{"frame": 12, "mask": MASK}``
* ``{"12": MASK, "1.5s": MASK}``

MASK is COCO RLE, a list of polygons, the path of a PNG below the source's ``masks``, or null where the object
is absent. Frames count from 0 and seconds from the start of the file, also where a clip is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datasets_prep.draft import DraftTrack, Reason, RejectError
from datasets_prep.sources.bases.fields import excerpt, number, whole

_SECONDS = re.compile(r"\s*([0-9.eE+-]+)\s*s\s*")
_MARK = frozenset({"frame", "time", "mask"})
_MODES = ("1", "L", "P", "I", "I;16")  # of pictures with one number per pixel


def objects_in(value: Any, field: str, folder: Path | None) -> tuple[DraftTrack, ...]:
    """The objects of a field, one of them or a list. ``folder`` holds the PNG files, if the plan names one.

    Raises RejectError for any other value, and for a PNG that is missing or no mask.
    """
    objects = [value] if isinstance(value, Mapping) else value
    if not isinstance(objects, list) or not objects:
        raise RejectError(Reason.MALFORMED, f"`{field}` is {excerpt(value)}, a list of objects was expected")
    return tuple(_object(each, f"object {n} of `{field}`", folder) for n, each in enumerate(objects))


def _object(written: Any, where: str, folder: Path | None) -> DraftTrack:
    if isinstance(written, Mapping) and not _MARK & written.keys():
        marks = [_by_name(name, mask, where) for name, mask in written.items()]
    else:
        marks = [_of_mark(mark, where) for mark in (written if isinstance(written, list) else [written])]
    if not marks:
        raise RejectError(Reason.MALFORMED, f"{where} has no mask")
    frames, timed = [], []
    for frame, time_s, mask in marks:
        forms = (_mask(mask, where, folder),)
        if frame is None:
            timed.append((time_s, forms))
        else:
            frames.append((frame, forms))
    return DraftTrack(masks=tuple(frames), timed=tuple(timed))


class _Mark(NamedTuple):
    frame: int | None  # None: at ``time_s``
    time_s: float
    mask: Any


def _by_name(name: str, mask: Any, where: str) -> _Mark:
    found = _SECONDS.fullmatch(name)
    if found is None:
        return _Mark(_frame(name, where), 0.0, mask)
    return _Mark(None, _not_negative(number(found[1], where), where), mask)


def _of_mark(mark: Any, where: str) -> _Mark:
    placed = [key for key in ("frame", "time") if isinstance(mark, Mapping) and mark.get(key) is not None]
    if len(placed) != 1 or "mask" not in mark:
        raise RejectError(
            Reason.MALFORMED,
            f"{where} has the mark {excerpt(mark)}; `mask` and one of `frame` and `time` were expected",
        )
    if placed == ["frame"]:
        return _Mark(_frame(mark["frame"], where), 0.0, mark["mask"])
    return _Mark(None, _not_negative(number(mark["time"], where), where), mark["mask"])


def _frame(value: Any, where: str) -> int:
    try:
        return int(_not_negative(whole(value, where), where))
    except RejectError as error:
        raise RejectError(
            error.reason, f'{where}: {excerpt(value)} is neither a frame (12) nor a time ("1.5s")'
        ) from error


def _not_negative(value: float, where: str) -> float:
    if value < 0:
        raise RejectError(Reason.MALFORMED, f"{where}: {value:g} is before the start of the video")
    return value


def _mask(mask: Any, where: str, folder: Path | None) -> Any:
    if isinstance(mask, str):
        return _picture(mask, where, folder)
    if isinstance(mask, Mapping) and mask.get("counts") is None:
        raise RejectError(Reason.BAD_MASK, f"{where}: the RLE {excerpt(mask)} has no `counts`")
    if mask is not None and not isinstance(mask, list | Mapping):
        raise RejectError(
            Reason.BAD_MASK, f"{where}: {excerpt(mask)} is neither RLE, polygons, a path of a PNG nor null"
        )
    return mask


def _picture(path: str, where: str, folder: Path | None) -> dict[str, Any]:
    """The mask in a PNG as RLE with the picture's own size, so that a wrong size is noticed."""
    import numpy as np
    from PIL import Image

    from pipeline.records import masks

    if folder is None:
        raise RejectError(
            Reason.MASK_MISSING,
            f"{where} names the file {excerpt(path)}; set `masks` of the source to the folder of such files",
        )
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or not path.strip():
        raise RejectError(
            Reason.MALFORMED, f"{where}: {excerpt(path)} is not a path below the source's `masks`"
        )
    place = folder / path
    if not place.is_file():
        raise RejectError(Reason.MASK_MISSING, f"{where}: {excerpt(path)} is not in the source's `masks`")
    try:
        with Image.open(place, formats=("PNG",)) as image:
            mode, values_HW = image.mode, np.asarray(image)
    except Exception as error:  # decoders have error classes of every kind
        problem = " ".join(str(error).replace(str(place), path).split())[:120]
        raise RejectError(Reason.BAD_MASK, f"{where}: {excerpt(path)} does not decode ({problem})") from error
    if mode not in _MODES:
        raise RejectError(
            Reason.BAD_MASK, f"{where}: {excerpt(path)} has colours (mode {mode}), one channel was expected"
        )
    inside = np.setdiff1d(np.unique(values_HW), [0])
    if len(inside) > 1:
        raise RejectError(
            Reason.BAD_MASK,
            f"{where}: {excerpt(path)} has the values 0, {', '.join(map(str, inside[:3]))}...; 0 and one "
            "other were expected, a file for each object",
        )
    return {"size": list(values_HW.shape), "counts": masks.encode(values_HW)}
