"""A closer look at media than preparation takes: where each lies, its header's promise, frames decoded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from datasets_prep.passes.locate import Listings
from datasets_prep.passes.media_table import MEDIA_SCHEMA, MediaTable
from datasets_prep.passes.probe import list_media, probe_media
from pipeline.errors import UserError
from pipeline.media import video
from pipeline.page.frames import spread_over
from pipeline.storage.location import Location

# ``uri``: where it lies. ``header_frames``: what a file's header promises, 0 for nothing. ``undecodable``:
# why a frame does not decode, empty if all that were tried do. All three are empty where probing failed.
INSPECTED_SCHEMA = pa.schema(
    [
        *MEDIA_SCHEMA,
        ("uri", pa.string()),
        ("header_frames", pa.int64()),
        ("undecodable", pa.string()),
    ]
)
_SMALL = (64, 64)  # pixels of a frame that is decoded to see whether it can be
_SAID = 200


def inspect_media(media: pa.Table, resolve: Callable[[str], Location], decode_frames: int) -> pa.Table:
    """Columns ``media_id`` and ``media`` -> INSPECTED_SCHEMA, one row each."""
    listings = list_media(media, resolve)
    probed = probe_media(media, resolve, listings)
    looks = [
        _look(asked, listings, found, decode_frames) if found else ("", 0, "")
        for asked, found in zip(media["media"].to_pylist(), probed["video"].to_pylist(), strict=True)
    ]
    columns = list(zip(*looks, strict=True)) or [(), (), ()]
    return pa.table([*probed.columns, *columns], schema=INSPECTED_SCHEMA)


def inspected(tables: Sequence[pa.Table]) -> MediaTable:
    """All rows in one table that finds them by their ids."""
    rows = pa.concat_tables([INSPECTED_SCHEMA.empty_table(), *tables])
    return MediaTable(rows.sort_by("media_id").combine_chunks())


def _look(asked: str, listings: Listings, found: dict[str, Any], count: int) -> tuple[str, int, str]:
    """The place, the header's frames, and the first frame that does not decode."""
    roots, candidates, _, _ = json.loads(asked)
    place, path, listed = listings.find(roots, candidates)
    names = tuple(found["frames"] or ())
    local = place.fetch_dir() if names else place.fetch(listed)
    uri = os.path.realpath(place.uri) if place.is_local else place.uri  # a link is not a copy
    header, frames = 0, found["num_frames"]
    try:
        if not names:
            header = video.header_frames(local)
        if count:
            video.decode(local, spread_over(range(frames), count), _SMALL, frames=names, num_frames=frames)
    except UserError:  # storage that does not answer is not a fault of a video
        raise
    except (AssertionError, MemoryError):
        raise
    except Exception as error:  # decoders have error classes of every kind
        said = str(error).removeprefix(f"{local}: ").removeprefix(f"{local}/")[:_SAID] or type(error).__name__
        return uri, header, f"{path}: {said}".encode("utf-8", "replace").decode()
    return uri, header, ""
