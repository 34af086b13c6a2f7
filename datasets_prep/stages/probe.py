"""Finds and probes media: every distinct video once, however many records ask about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from datasets_prep.draft import Reason, RejectError
from datasets_prep.stages.read import reject_fields
from pipeline import video
from pipeline.schema.arrow import SAMPLE_SCHEMA
from pipeline.schema.sample import VideoRef
from pipeline.storage import Location

MEDIA_SCHEMA = pa.schema(
    [
        ("media_id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("place", pa.string()),  # where it was found or looked for; for the rejects table
        ("video", SAMPLE_SCHEMA.field("video").type),
    ]
)
_BLOCK = 1 << 20


def probe_media(media: pa.Table, resolve: Callable[[str], Location]) -> pa.Table:
    """Columns ``media_id`` and ``media`` -> MEDIA_SCHEMA, one row each."""
    rows = [
        {"media_id": row["media_id"], **_row(row["media"], resolve)}
        for row in media.select(["media_id", "media"]).to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=MEDIA_SCHEMA)


def _row(media: str, resolve: Callable[[str], Location]) -> dict[str, Any]:
    roots, candidates, frames, fps = json.loads(media)
    place = candidates[0]
    try:
        location, path = _find([resolve(r) for r in roots], candidates)
        place = location.uri
        found = probe_video(location, path, tuple(frames), fps or video.FOLDER_FPS)
    except RejectError as error:
        return {**reject_fields(error), "place": place, "video": None}
    fields = {name: getattr(found, name) for name in VideoRef.__slots__}
    return {"reason": "", "detail": "", "place": place, "video": fields}


def _find(roots: list[Location], candidates: list[str]) -> tuple[Location, str]:
    """The first place that exists: every candidate below the first root, then below the next."""
    for root in roots:
        for path in candidates:
            try:
                place = root.join(path)
            except ValueError as error:  # leads out of the folder
                raise RejectError(Reason.MEDIA_MISSING, str(error)) from error
            if place.exists():
                return place, path
    raise RejectError(
        Reason.MEDIA_MISSING, f"{' and '.join(candidates)} in none of {len(roots)} media folder(s)"
    )


def probe_video(place: Location, path: str, frames: tuple[str, ...], folder_fps: float) -> VideoRef:
    """Probe one file or folder and hash its bytes. Raises RejectError with the reason."""
    if place.is_dir():
        local = place.fetch_dir()
        names = _frame_names(local, frames)
        files = [local / name for name in names]
    else:
        if frames:
            raise RejectError(
                Reason.MEDIA_UNREADABLE, f"{path} is a file where a folder of frames is expected"
            )
        local, names = place.fetch(), ()
        files = [local]
    try:
        info = video.probe(local, frames=names, folder_fps=folder_fps)
    except video.VideoError as error:
        # The message begins with the local path, which differs between machines.
        raise RejectError(
            Reason.MEDIA_UNREADABLE, str(error).removeprefix(f"{local}: ").removeprefix(f"{local}/")
        ) from error
    digests = [_sha256(file) for file in files]
    return VideoRef(
        path=path,
        frames=names,
        num_frames=info.num_frames,
        fps=info.fps,
        duration_s=info.duration_s,
        duration_source=info.duration_source,
        height=info.height,
        width=info.width,
        size_bytes=sum(file.stat().st_size for file in files),
        sha256=digests[0] if not names else hashlib.sha256("".join(digests).encode()).hexdigest(),
    )


def _frame_names(folder: Path, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the frames as they lie on disk; a listed name may lack its suffix."""
    try:
        there = video.list_frames(folder)
    except video.VideoError as error:
        raise RejectError(Reason.MEDIA_UNREADABLE, str(error).removeprefix(f"{folder}: ")) from error
    if not listed:
        return there
    by_stem = {name.rsplit(".", 1)[0]: name for name in reversed(there)}
    known = set(there)
    names = tuple(name if name in known else by_stem.get(name, "") for name in listed)
    missing = [said for said, name in zip(listed, names, strict=True) if not name]
    if missing:
        raise RejectError(
            Reason.MEDIA_MISSING, f"{len(missing)} of {len(listed)} frames, the first is {missing[0]}"
        )
    return names


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
