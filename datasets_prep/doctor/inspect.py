"""Inspects media more closely than preparation: their URI, the frame count of the header, decoded frames."""

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

# ``header_frames``: the frame count in the file's header, 0 for none. ``undecodable``: why a frame does not
# decode, empty if all that were tried do. All three are empty where probing failed.
INSPECTED_SCHEMA = pa.schema(
    [
        *MEDIA_SCHEMA,
        ("uri", pa.string()),
        ("header_frames", pa.int64()),
        ("undecodable", pa.string()),
    ]
)
_SMALL = (64, 64)  # pixels; the frames are decoded only to see whether they can be
_DETAIL = 200  # characters of an error's text


def inspect_media(media: pa.Table, resolve: Callable[[str], Location], decode_frames: int) -> pa.Table:
    """Columns ``media_id`` and ``media`` -> INSPECTED_SCHEMA, one row each."""
    listings = list_media(media, resolve)
    probed = probe_media(media, resolve, listings)
    looks = [
        _look(medium, listings, video_ref, decode_frames) if video_ref else ("", 0, "")
        for medium, video_ref in zip(media["media"].to_pylist(), probed["video"].to_pylist(), strict=True)
    ]
    columns = list(zip(*looks, strict=True)) or [(), (), ()]
    return pa.table([*probed.columns, *columns], schema=INSPECTED_SCHEMA)


def inspection_table(tables: Sequence[pa.Table]) -> MediaTable:
    """All rows in one table, to be looked up by their ids."""
    rows = pa.concat_tables([INSPECTED_SCHEMA.empty_table(), *tables])
    return MediaTable(rows.sort_by("media_id").combine_chunks())


def _look(medium: str, listings: Listings, video_ref: dict[str, Any], count: int) -> tuple[str, int, str]:
    """The URI, the header's frame count, and why a frame does not decode."""
    roots, candidates, _, _ = json.loads(medium)
    place, path, listed = listings.find(roots, candidates)
    names = tuple(video_ref["frames"] or ())
    local = place.fetch_dir() if names else place.fetch(listed)
    uri = os.path.realpath(place.uri) if place.is_local else place.uri  # a link is not a copy
    header, frames = 0, video_ref["num_frames"]
    try:
        if not names:
            header = video.header_frames(local)
        if count:
            video.decode(local, spread_over(range(frames), count), _SMALL, frames=names, num_frames=frames)
    except UserError:  # storage that does not answer is not a fault of the video
        raise
    except (AssertionError, MemoryError):
        raise
    except Exception as error:  # decoders have error classes of every kind
        problem = str(error).removeprefix(f"{local}: ").removeprefix(f"{local}/")[:_DETAIL]
        text = f"{path}: {problem or type(error).__name__}"
        return uri, header, text.encode("utf-8", "replace").decode()
    return uri, header, ""
