"""Which videos differ between two datasets that were made from one plan."""

from __future__ import annotations

import pyarrow.compute as pc

from pipeline.dataset.reader import ShardReader
from pipeline.storage.location import Location

_NAMED = 3  # the others are only counted


def changed_videos(one: Location, other: Location) -> list[str]:
    """A line for each source with videos of other content in the second dataset."""
    before, after = _videos(one), _videos(other)
    out = []
    for source, videos in before.items():
        paths = sorted(p for p, sha in videos.items() if after.get(source, {}).get(p, sha) != sha)
        if paths:
            more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
            out.append(f"videos of {source} that have changed: {', '.join(paths[:_NAMED])}{more}")
    return out


def _videos(dataset: Location) -> dict[str, dict[str, str]]:
    reader = ShardReader(dataset)
    out = {}
    for source in reader.sources:
        video = reader.columns(source, ["video"])["video"]
        path, sha256 = (pc.struct_field(video, name).to_pylist() for name in ("path", "sha256"))
        out[source] = dict(zip(path, sha256, strict=True))
    return out
